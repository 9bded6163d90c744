import { lent } from '../../autograd/index.js'
import { Conv1d } from '../../nn/index.js'
import type { WeightOptions } from '../../nn/layers/weights.js'
import { type Conv1dOptions, conv1d } from '../../ops/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import { type BiasOptions, biasRangeOf } from '../bias.js'
import { type AccumulatingLayer, accumulate } from '../integer.js'
import { type QuantisedWeightOptions, quantiseWeight } from '../weightOptions.js'
import { type OutputOptions, withSums } from './output.js'

/**
 * A 1-d convolution whose weights are integers times a scale: [n, in, length] → [n, out, length']. See
 * `QuantConv2d`; semantics of Brevitas' `QuantConv1d`.
 *
 * @example
 * ```ts
 * import { ones, qnn } from 'espalier'
 * const conv = new qnn.QuantConv1d(2, 4, 3, { weightBits: 4 })
 * conv.forward(ones([1, 2, 8])).shape // [1, 4, 6]
 * ```
 */
export class QuantConv1d extends Conv1d implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange: ReturnType<typeof biasRangeOf>
  /** What learns scales of its own; null otherwise. */
  weightQuantiser: ReturnType<typeof quantiseWeight>
  readonly returnQuantTensor: boolean

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number,
    options: Conv1dOptions & WeightOptions & QuantisedWeightOptions & BiasOptions & OutputOptions = {},
  ) {
    super(inChannels, outChannels, kernelSize, options)
    this.biasRange = biasRangeOf(options)
    this.weightQuantiser = quantiseWeight(this, options, this.biasRange)
    this.returnQuantTensor = options.returnQuantTensor ?? false
  }

  override forward(x: Tensor): Tensor {
    const y = accumulate(this, x, (input, weight, bias) => conv1d(input, lent(weight), bias, this.geometry))
    return this.returnQuantTensor ? withSums(this, x, y) : y
  }
}
