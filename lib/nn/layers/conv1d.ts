import { type ConvSteps, geometryOf } from '../../kernels/convGeometry.js'
import { SparseConv2d } from '../../kernels/index.js'
import { Pattern } from '../../kernels/pattern.js'
import { DeviceArray, ensure, wholeNumber } from '../../native/index.js'
import { type Conv1dOptions, conv1d, maskedConv2d, sparseConv2d, squeeze, unsqueeze } from '../../ops/index.js'
import { type Generator, Tensor } from '../../tensor/index.js'
import { type MaskedWay, maskedProduct } from '../masked.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { kernelName, untimedUnlessPointwise } from './pointwise.js'
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
    return maskedProduct(this, x, masked) ?? conv1d(x, beside(x, this.effective('weight')), beside(x, this.effectiveOrNull('bias')), this.geometry)
  }

  override extraRepr(): string {
    const options = showOptions(
      { ...this.geometry, bias: this.effectiveOrNull('bias') !== null },
      { stride: 1, padding: 0, dilation: 1, groups: 1, bias: true },
    )
    return `${this.inChannels}, ${this.outChannels}, ${this.kernelSize}${options}`
  }
}

/** By the weights that a mask keeps: the two-dimensional convolution of planes of height 1. */
const masked: MaskedWay<Conv1d, SparseConv2d | Pattern> = {
  untimedOnGpu: untimedUnlessPointwise,
  takes: ({ inChannels }, x) => x instanceof Tensor && x.rank === 3 && x.shape[1] === inChannels,
  work: (layer, { shape: [n, , length] }) => layer.latentWeight('weight').size * n * length,
  prepare({ inChannels, outChannels, kernelSize, geometry: { groups } }, { storage }, count) {
    if (storage instanceof DeviceArray) return new Pattern(storage, outChannels, (inChannels / groups) * kernelSize, count, 0, [1, kernelSize], groups)
    const mask = storage as Float32Array
    return new SparseConv2d(mask, inChannels, outChannels, [1, kernelSize], { groups, mask })
  },
  costs(layer, convolution, { shape: [n, , length] }) {
    if (convolution instanceof Pattern) return convolution.costs(n * length)
    return convolution.costs(geometryOf('conv1d', convolution, n, [1, length], inPlanes(layer)))
  },
  kernel: kernelName,
  byValues: (layer, x, values, convolution, bias) => squeeze(sparseConv2d(unsqueeze(x, 2), values, convolution, bias, inPlanes(layer)), 2),
  byWeight: (layer, x, weight, convolution, bias, ofKept) =>
    squeeze(maskedConv2d(unsqueeze(x, 2), unsqueeze(weight, 2), convolution, bias, inPlanes(layer), ofKept), 2),
}

const inPlanes = ({ geometry: { stride, padding, dilation } }: Conv1d): ConvSteps => ({
  stride: [1, stride],
  padding: typeof padding === 'number' ? [0, padding] : padding,
  dilation: [1, dilation],
})
