import { ensure, wholeNumber } from '../../native/index.js'
import { type ConvTransposeOptions, convTranspose2d } from '../../ops/index.js'
import type { Generator, Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { type Pair, pairOf } from './pair.js'
import { beside, biasOf, resetWeights, showOptions, type WeightOptions, weightOf } from './weights.js'

/**
 * Transposed two-dimensional convolution: [n, inChannels, h, w] → [n, outChannels, h', w'], see
 * `ops.convTranspose2d`. weight is [inChannels, outChannels / groups, kh, kw].
 */
export class ConvTranspose2d extends Module {
  weight: Parameter
  bias: Parameter | null
  /** [height, width] */
  readonly kernelSize: readonly [number, number]
  /** stride, padding, outputPadding, dilation and groups, as `ops.convTranspose2d` takes them. */
  readonly geometry: Readonly<Required<ConvTransposeOptions>>

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    { stride = 1, padding = 0, outputPadding = 0, dilation = 1, groups = 1, bias = true, generator }: ConvTransposeOptions & WeightOptions = {},
  ) {
    super()
    wholeNumber('ConvTranspose2d: inChannels', inChannels)
    wholeNumber('ConvTranspose2d: outChannels', outChannels)
    wholeNumber('ConvTranspose2d: groups', groups, 1)
    ensure(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `ConvTranspose2d: ${inChannels} to ${outChannels} channels do not divide into ${groups} groups`,
    )
    this.kernelSize = pairOf('ConvTranspose2d: kernelSize', kernelSize, 1)
    this.geometry = { stride, padding, outputPadding, dilation, groups }
    this.weight = weightOf([inChannels, outChannels / groups, ...this.kernelSize])
    this.bias = biasOf(bias, outChannels)
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: U(−b, b), b = 1 / √(outChannels / groups · kh · kw), as PyTorch does. */
  resetParameters(generator?: Generator): void {
    resetWeights(this, generator)
  }

  forward(x: Tensor): Tensor {
    return convTranspose2d(x, beside(x, this.effective('weight')), beside(x, this.effectiveOrNull('bias')), this.geometry)
  }

  override extraRepr(): string {
    const defaults = { stride: 1, padding: 0, outputPadding: 0, dilation: 1, groups: 1, bias: true }
    return `${this.inChannels}, ${this.outChannels}, [${this.kernelSize.join(', ')}]${showOptions({ ...this.geometry, bias: this.effectiveOrNull('bias') !== null }, defaults)}`
  }
}
