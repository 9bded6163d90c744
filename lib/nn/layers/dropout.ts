import { realNumber } from '../../native/index.js'
import { dropout } from '../../ops/index.js'
import { defaultGenerator, type Generator, type Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** In training, sets each element to zero with probability p and scales the others by 1 / (1 − p); else hands on. Srivastava et al. 2014. */
export class Dropout extends Module {
  readonly generator: Generator

  constructor(
    readonly p = 0.5,
    { generator = defaultGenerator }: { generator?: Generator } = {},
  ) {
    super()
    realNumber('Dropout: p', p, 0, 1)
    this.generator = generator
  }

  forward(x: Tensor): Tensor {
    return this.training && this.p > 0 ? dropout(x, { p: this.p, generator: this.generator }) : x
  }

  override extraRepr(): string {
    return `${this.p}`
  }
}
