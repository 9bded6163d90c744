import { ensure, wholeNumber } from '../../native/index.js'
import { type Conv1dOptions, conv1d } from '../../ops/index.js'
import type { Generator, Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { beside, biasOf, resetWeights, showOptions, type WeightOptions, weightOf } from './weights.js'

/**
 * One-dimensional convolution: [n, inChannels, length] → [n, outChannels, length'], see `ops.conv1d`.
 * weight is [outChannels, inChannels / groups, kernelSize].
 */
export class Conv1d extends Module {
  weight: Parameter
  bias: Parameter | null
  /** stride, padding, dilation and groups, as `ops.conv1d` takes them. */
  readonly geometry: Readonly<Required<Conv1dOptions>>

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    readonly kernelSize: number,
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, generator }: Conv1dOptions & WeightOptions = {},
  ) {
    super()
    wholeNumber('Conv1d: inChannels', inChannels)
    wholeNumber('Conv1d: outChannels', outChannels)
    wholeNumber('Conv1d: kernelSize', kernelSize, 1)
    wholeNumber('Conv1d: groups', groups, 1)
    ensure(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `Conv1d: ${inChannels} to ${outChannels} channels do not divide into ${groups} groups`,
    )
    this.geometry = { stride, padding, dilation, groups }
    this.weight = weightOf([outChannels, inChannels / groups, kernelSize])
    this.bias = biasOf(bias, outChannels)
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: U(−b, b), b = 1 / √fanIn. */
  resetParameters(generator?: Generator): void {
    resetWeights(this, generator)
  }

  forward(x: Tensor): Tensor {
    return conv1d(x, beside(x, this.effective('weight')), beside(x, this.effectiveOrNull('bias')), this.geometry)
  }

  override extraRepr(): string {
    const options = showOptions(
      { ...this.geometry, bias: this.effectiveOrNull('bias') !== null },
      { stride: 1, padding: 0, dilation: 1, groups: 1, bias: true },
    )
    return `${this.inChannels}, ${this.outChannels}, ${this.kernelSize}${options}`
  }
}
