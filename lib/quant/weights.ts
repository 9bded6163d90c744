import { stages, type WeightTransform } from '../nn/index.js'
import { absMax, ceilPowerOfTwo, div, fakeQuant, maximum } from '../ops/index.js'
import type { Quantisation, Tensor } from '../tensor/index.js'
import { codeOfThreshold, type IntegerRange, integerRange } from './range.js'

export interface WeightQuantiserOptions {
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
  /** Symmetric codes. Default true. */
  weightNarrow?: boolean
  /** A scale for each output channel instead of one for the tensor. Default false. */
  perChannel?: boolean
  /** Scales that are powers of two, so that scaling is a shift. Default false. */
  powerOfTwo?: boolean
}

// A channel without weights would have the scale 0.
const smallestThreshold = 1e-10

/**
 * The quantiser on a weight's way: scale = max |w| / largest code, found anew in each forward pass,
 * with the gradient through the maximum; rounding and clamp are straight-through. With `powerOfTwo` the
 * maximum is brought up to a power of two first. The defaults of Brevitas' `Int8WeightPerTensorFloat`.
 */
export class WeightQuantiser implements WeightTransform {
  readonly kind = 'quantiser'
  readonly stage = stages.quantiser
  readonly range: IntegerRange
  readonly perChannel: boolean
  readonly powerOfTwo: boolean
  private readonly topCode: number

  constructor({ weightBits = 8, weightNarrow = true, perChannel = false, powerOfTwo = false }: WeightQuantiserOptions) {
    const codes = { bits: weightBits, signed: true, narrow: weightNarrow }
    this.range = integerRange(codes)
    this.perChannel = perChannel
    this.powerOfTwo = powerOfTwo
    this.topCode = codeOfThreshold(codes, powerOfTwo)
  }

  apply(weight: Tensor): Tensor {
    const largest = maximum(absMax(weight, { perChannel: this.perChannel }), smallestThreshold)
    const scale = div(this.powerOfTwo ? ceilPowerOfTwo(largest) : largest, this.topCode)
    const { min, max } = this.range
    const quantised = fakeQuant(weight, scale, { min, max, gradient: 'straight-through' })
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
  }
}
