import { lent } from '../../autograd/index.js'
import { Linear } from '../../nn/index.js'
import { linearWay } from '../../nn/layers/linear.js'
import type { WeightOptions } from '../../nn/layers/weights.js'
import { maskedProduct } from '../../nn/masked.js'
import { linear } from '../../ops/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import { type BiasOptions, biasRangeOf } from '../bias.js'
import { type AccumulatingLayer, accumulate } from '../integer.js'
import { type QuantisedWeightOptions, quantiseWeight } from '../weightOptions.js'
import { type OutputOptions, withSums } from './output.js'

/**
 * A fully connected layer whose weights are integers times a scale: [n, in] → [n, out]. See
 * `QuantConv2d`; semantics of Brevitas' `QuantLinear`.
 */
export class QuantLinear extends Linear implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange: ReturnType<typeof biasRangeOf>
  /** What learns scales of its own; null otherwise. */
  weightQuantiser: ReturnType<typeof quantiseWeight>
  readonly returnQuantTensor: boolean

  constructor(inFeatures: number, outFeatures: number, options: WeightOptions & QuantisedWeightOptions & BiasOptions & OutputOptions = {}) {
    super(inFeatures, outFeatures, options)
    this.biasRange = biasRangeOf(options)
    this.weightQuantiser = quantiseWeight(this, options, this.biasRange)
    this.returnQuantTensor = options.returnQuantTensor ?? false
  }

  override forward(x: Tensor): Tensor {
    const y = accumulate(this, x, (input, weight, bias) => product(this, input, lent(weight), bias))
    return this.returnQuantTensor ? withSums(this, x, y) : y
  }
}

const product = (layer: QuantLinear, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor =>
  maskedProduct(layer, x, linearWay, { weight, bias }) ?? linear(x, weight, bias)
