import { reshape } from '../../ops/index.js'
import { axisOf, type Tensor } from '../../tensor/index.js'
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
    const start = axisOf('Flatten', this.startDim, x.rank)
    const end = axisOf('Flatten', this.endDim, x.rank)
    const joined = x.shape.slice(start, end + 1).reduce((product, dimension) => product * dimension, 1)
    return reshape(x, [...x.shape.slice(0, start), joined, ...x.shape.slice(end + 1)])
  }

  override extraRepr(): string {
    return this.startDim === 1 && this.endDim === -1 ? '' : `${this.startDim}, ${this.endDim}`
  }
}
