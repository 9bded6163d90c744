import { flatten } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** Joins the dimensions `startDim` to `endDim` (inclusive; negative ones count from the end) into one. */
export class Flatten extends Module {
  constructor(
    readonly startDim = 1,
    readonly endDim = -1,
  ) {
    super()
  }

  forward(x: Tensor): Tensor {
    return flatten(x, this.startDim, this.endDim)
  }

  override extraRepr(): string {
    return this.startDim === 1 && this.endDim === -1 ? '' : `${this.startDim}, ${this.endDim}`
  }
}
