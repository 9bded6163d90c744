import { lent } from '../../autograd/index.js'
import { Conv2d } from '../../nn/index.js'
import { conv2dWay } from '../../nn/layers/conv2d.js'
import type { Pair } from '../../nn/layers/pair.js'
import type { WeightOptions } from '../../nn/layers/weights.js'
import { maskedProduct } from '../../nn/masked.js'
import { type ConvOptions, conv2d } from '../../ops/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import { type BiasOptions, biasRangeOf } from '../bias.js'
import { type AccumulatingLayer, accumulate } from '../integer.js'
import { type QuantisedWeightOptions, quantiseWeight } from '../weightOptions.js'
import { type OutputOptions, withSums } from './output.js'

/**
 * A 2-d convolution whose weights are integers times a scale: [n, in, h, w] → [n, out, h', w'].
 *
 * With a quantised input each output is an integer sum times scale_in · scale_weight: the accumulator
 * that `quant.certify` bounds. `biasBits` makes the bias an integer in the same units, added inside.
 * `accumulatorBits` keeps the weights so that no input overflows an accumulator of that width.
 * Semantics of Brevitas' `QuantConv2d`.
 *
 * @example
 * ```ts
 * import { ones, qnn } from 'espalier'
 * const conv = new qnn.QuantConv2d(1, 8, 3, { weightBits: 4 })
 * conv.forward(ones([2, 1, 8, 8])).shape // [2, 8, 6, 6]
 * ```
 */
export class QuantConv2d extends Conv2d implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange: ReturnType<typeof biasRangeOf>
  /** What learns scales of its own; null otherwise. */
  weightQuantiser: ReturnType<typeof quantiseWeight>
  readonly returnQuantTensor: boolean

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    options: ConvOptions & WeightOptions & QuantisedWeightOptions & BiasOptions & OutputOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, options)
    this.biasRange = biasRangeOf(options)
    this.weightQuantiser = quantiseWeight(this, options, this.biasRange)
    this.returnQuantTensor = options.returnQuantTensor ?? false
  }

  override forward(x: Tensor): Tensor {
    const y = accumulate(this, x, (input, weight, bias) => product(this, input, lent(weight), bias))
    return this.returnQuantTensor ? withSums(this, x, y) : y
  }
}

const product = (layer: QuantConv2d, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor =>
  maskedProduct(layer, x, conv2dWay, { weight, bias }) ?? conv2d(x, weight, bias, layer.geometry)
