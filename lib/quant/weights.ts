import { stages, type WeightTransform } from '../nn/index.js'
import { absMax, div, fakeQuant, maximum } from '../ops/index.js'
import type { Quantisation, Tensor } from '../tensor/index.js'
import { codeOfThreshold, type IntegerRange, integerRange } from './range.js'

export interface WeightQuantiserOptions {
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
  /** Symmetric codes. Default true. */
  weightNarrow?: boolean
  /** A scale for each output channel instead of one for the tensor. Default false. */
  perChannel?: boolean
}

// A channel without weights would have the scale 0.
const smallestThreshold = 1e-10

/**
 * The quantiser on a weight's way: scale = max |w| / largest code, found anew in each forward pass,
 * with the gradient through the maximum; rounding and clamp are straight-through. The defaults of
 * Brevitas' `Int8WeightPerTensorFloat`.
 */
export class WeightQuantiser implements WeightTransform {
  readonly kind = 'quantiser'
  readonly stage = stages.quantiser
  readonly range: IntegerRange
  readonly perChannel: boolean
  private readonly topCode: number

  constructor({ weightBits = 8, weightNarrow = true, perChannel = false }: WeightQuantiserOptions) {
    const codes = { bits: weightBits, signed: true, narrow: weightNarrow }
    this.range = integerRange(codes)
    this.perChannel = perChannel
    this.topCode = codeOfThreshold(codes)
  }

  apply(weight: Tensor): Tensor {
    const largest = absMax(weight, { perChannel: this.perChannel })
    const scale = div(maximum(largest, smallestThreshold), this.topCode)
    const { min, max } = this.range
    const quantised = fakeQuant(weight, scale, { min, max, gradient: 'straight-through' })
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
  }
}
