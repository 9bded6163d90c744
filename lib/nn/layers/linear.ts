import { wholeNumber } from '../../native/index.js'
import { linear } from '../../ops/index.js'
import type { Generator, Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { beside, biasOf, resetWeights, type WeightOptions, weightOf } from './weights.js'

/** x·weightᵀ + bias over the last dimension: [..., inFeatures] → [..., outFeatures]. weight is [outFeatures, inFeatures]. */
export class Linear extends Module {
  weight: Parameter
  bias: Parameter | null

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    { bias = true, generator }: WeightOptions = {},
  ) {
    super()
    wholeNumber('Linear: inFeatures', inFeatures)
    wholeNumber('Linear: outFeatures', outFeatures)
    this.weight = weightOf([outFeatures, inFeatures])
    this.bias = biasOf(bias, outFeatures)
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: U(−b, b), b = 1 / √inFeatures. */
  resetParameters(generator?: Generator): void {
    resetWeights(this, generator)
  }

  forward(x: Tensor): Tensor {
    return linear(x, beside(x, this.effective('weight')), beside(x, this.effectiveOrNull('bias')))
  }

  override extraRepr(): string {
    return `${this.inFeatures}, ${this.outFeatures}, bias: ${this.effectiveOrNull('bias') !== null}`
  }
}
