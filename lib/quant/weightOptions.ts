import { describe, ensure, wholeNumber } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { limitFanIn } from './accumulators/fanIn.js'
import type { Guard } from './accumulators/guard.js'
import { type AccumulatorMethodName, accumulatorMethods } from './accumulators/methods.js'
import type { Quantiser } from './quantiser.js'
import type { IntegerRange } from './range.js'
import { WeightQuantiser, type WeightQuantiserOptions } from './weights.js'

/** How a layer's weights become integers, and which accumulator they must fit. */
export interface QuantisedWeightOptions extends WeightQuantiserOptions {
  /**
   * Width of the accumulator, 2 to 32 bits: the weights are kept so that no input overflows it. An
   * integer bias (`biasBits`) is part of it.
   */
  accumulatorBits?: number
  /**
   * How they are kept there: within a budget for each sign (call `quant.projectBudgets` after each
   * step), by the number of inputs a neuron may use (call `quant.refreshFanIn` now and then), or by a
   * cap on their norm. But for 'fan-in' scales are learned, one a channel, and codes are narrow. Default
   * 'budget'.
   */
  accumulator?: AccumulatorMethodName
  /**
   * The most inputs a neuron may use, ≥ 1: its strongest, under a mask that `quant.refreshFanIn` draws
   * anew. By itself or with any `accumulator`. Default: all.
   */
  fanIn?: number
}

/**
 * Puts the quantiser that the options ask for on a layer's weight. What learns something is returned,
 * for a field of the layer; null otherwise.
 *
 * @param biasRange codes of the layer's bias, null for a float one
 */
export function quantiseWeight(layer: Module, options: QuantisedWeightOptions, biasRange: IntegerRange | null): Guard | Quantiser | null {
  const { accumulatorBits, accumulator = 'budget', fanIn, weightBits = 8 } = options
  // An input that is left out has the weight 0, which a weight of 1 bit cannot be.
  if (fanIn !== undefined || accumulator === 'fan-in') wholeNumber('weightBits under a limited fan-in', weightBits, 2, 8)
  if (accumulatorBits === undefined) {
    ensure(options.accumulator === undefined, 'INVALID_ARGUMENT', () => `accumulator is '${accumulator}' but accumulatorBits is not given`)
    const quantiser = new WeightQuantiser(options, layer.latentWeight('weight'))
    if (fanIn !== undefined) limitFanIn(layer, { fanIn })
    layer.addTransform('weight', quantiser)
    return quantiser.state
  }
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  ensure(
    Object.hasOwn(accumulatorMethods, accumulator),
    'INVALID_ARGUMENT',
    () => `accumulator is ${describe(accumulator)}, expected one of ${Object.keys(accumulatorMethods).join(', ')}`,
  )
  const bias = layer.effectiveOrNull('bias') === null ? null : biasRange
  if (fanIn !== undefined && accumulator !== 'fan-in') limitFanIn(layer, { fanIn })
  return accumulatorMethods[accumulator](layer, { ...options, accumulatorBits, bias })
}
