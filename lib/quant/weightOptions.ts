import { ensure, wholeNumber } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { type A2QMethod, A2QQuantiser, a2qTransform } from './accumulators/a2q.js'
import type { IntegerRange } from './range.js'
import { WeightQuantiser, type WeightQuantiserOptions } from './weights.js'

/** How a layer's weights become integers, and which accumulator they must fit. */
export interface QuantisedWeightOptions extends WeightQuantiserOptions {
  /**
   * Width of the accumulator, 2 to 32 bits: the weights are kept so that no input overflows it. Scales
   * are learned then, one a channel, and codes are narrow. An integer bias (`biasBits`) is part of it.
   */
  accumulatorBits?: number
  /** How they are kept there. Default 'a2q+'. */
  accumulator?: A2QMethod
}

/**
 * Puts the quantiser that the options ask for on a layer's weight. What learns something is returned,
 * for a field of the layer; null otherwise.
 *
 * @param biasRange codes of the layer's bias, null for a float one
 */
export function quantiseWeight(layer: Module, options: QuantisedWeightOptions, biasRange: IntegerRange | null): A2QQuantiser | null {
  const { accumulatorBits, accumulator = 'a2q+', weightNarrow = true, powerOfTwo = false } = options
  if (accumulatorBits === undefined) {
    ensure(options.accumulator === undefined, 'INVALID_ARGUMENT', () => `accumulator is '${accumulator}' but accumulatorBits is not given`)
    layer.addTransform('weight', new WeightQuantiser(options))
    return null
  }
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  ensure(
    weightNarrow && !powerOfTwo,
    'INVALID_ARGUMENT',
    () => `accumulator '${accumulator}': codes are narrow and scales learned; leave out weightNarrow and powerOfTwo`,
  )
  const bias = biasRange === null || layer.effectiveOrNull('bias') === null ? 0 : -biasRange.min
  const quantiser = new A2QQuantiser(layer.latentWeight('weight'), { ...options, accumulatorBits, accumulator, bias })
  layer.addTransform('weight', a2qTransform)
  return quantiser
}
