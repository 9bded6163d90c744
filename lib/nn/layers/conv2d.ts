import { geometryOf } from '../../kernels/convGeometry.js'
import { SparseConv2d } from '../../kernels/index.js'
import { Pattern } from '../../kernels/pattern.js'
import { DeviceArray, ensure, wholeNumber } from '../../native/index.js'
import { type ConvOptions, conv2d, maskedConv2d, sparseConv2d } from '../../ops/index.js'
import { type Generator, Tensor } from '../../tensor/index.js'
import { type MaskedWay, maskedProduct } from '../masked.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { type Pair, pairOf } from './pair.js'
import { kernelName, untimedUnlessPointwise } from './pointwise.js'
import { beside, biasOf, resetWeights, showOptions, type WeightOptions, weightOf } from './weights.js'

/**
 * Two-dimensional convolution: [n, inChannels, h, w] → [n, outChannels, h', w'], see `ops.conv2d`.
 * weight is [outChannels, inChannels / groups, kh, kw].
 */
export class Conv2d extends Module {
  weight: Parameter
  bias: Parameter | null
  /** [height, width] */
  readonly kernelSize: readonly [number, number]
  /** stride, padding, dilation and groups, as `ops.conv2d` takes them. */
  readonly geometry: Readonly<Required<Pick<ConvOptions, 'stride' | 'padding' | 'dilation' | 'groups'>>>

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, generator }: ConvOptions & WeightOptions = {},
  ) {
    super()
    wholeNumber('Conv2d: inChannels', inChannels)
    wholeNumber('Conv2d: outChannels', outChannels)
    wholeNumber('Conv2d: groups', groups, 1)
    ensure(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `Conv2d: ${inChannels} to ${outChannels} channels do not divide into ${groups} groups`,
    )
    this.kernelSize = pairOf('Conv2d: kernelSize', kernelSize, 1)
    this.geometry = { stride, padding, dilation, groups }
    this.weight = weightOf([outChannels, inChannels / groups, ...this.kernelSize])
    this.bias = biasOf(bias, outChannels)
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: U(−b, b), b = 1 / √fanIn. */
  resetParameters(generator?: Generator): void {
    resetWeights(this, generator)
  }

  forward(x: Tensor): Tensor {
    return maskedProduct(this, x, conv2dWay) ?? conv2d(x, beside(x, this.effective('weight')), beside(x, this.effectiveOrNull('bias')), this.geometry)
  }

  override extraRepr(): string {
    const options = showOptions(
      { ...this.geometry, bias: this.effectiveOrNull('bias') !== null },
      { stride: 1, padding: 0, dilation: 1, groups: 1, bias: true },
    )
    return `${this.inChannels}, ${this.outChannels}, [${this.kernelSize.join(', ')}]${options}`
  }
}

/** By the weights that a mask keeps. @internal */
export const conv2dWay: MaskedWay<Conv2d, SparseConv2d | Pattern> = {
  untimedOnGpu: untimedUnlessPointwise,
  takes: ({ inChannels }, x) => x instanceof Tensor && x.rank === 4 && x.shape[1] === inChannels,
  work: (layer, { shape: [n, , height, width] }) => layer.latentWeight('weight').size * n * height * width,
  prepare({ inChannels, outChannels, kernelSize, geometry: { groups } }, { storage }, count) {
    const [height, width] = kernelSize
    if (storage instanceof DeviceArray) return new Pattern(storage, outChannels, (inChannels / groups) * height * width, count, 0, kernelSize, groups)
    const mask = storage as Float32Array
    return new SparseConv2d(mask, inChannels, outChannels, kernelSize, { groups, mask })
  },
  costs({ geometry }, convolution, { shape: [n, , height, width] }) {
    if (convolution instanceof Pattern) return convolution.costs(n * height * width)
    return convolution.costs(geometryOf('conv2d', convolution, n, [height, width], geometry))
  },
  kernel: kernelName,
  byValues: ({ geometry }, x, values, convolution, bias) => sparseConv2d(x, values, convolution, bias, geometry),
  byWeight: ({ geometry }, x, weight, convolution, bias, ofKept) => maskedConv2d(x, weight, convolution, bias, geometry, ofKept),
}
