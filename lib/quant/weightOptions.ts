import { describe, ensure, wholeNumber } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { type A2QMethod, A2QQuantiser } from './accumulators/a2q.js'
import { BudgetQuantiser } from './accumulators/budget.js'
import { type Guard, guardTransform } from './accumulators/guard.js'
import { requireRoom } from './accumulators/signBudgets.js'
import type { IntegerRange } from './range.js'
import { WeightQuantiser, type WeightQuantiserOptions } from './weights.js'

/** How a layer's weights become integers, and which accumulator they must fit. */
export interface QuantisedWeightOptions extends WeightQuantiserOptions {
  /**
   * Width of the accumulator, 2 to 32 bits: the weights are kept so that no input overflows it. Scales
   * are learned then, one a channel, and codes are narrow. An integer bias (`biasBits`) is part of it.
   */
  accumulatorBits?: number
  /**
   * How they are kept there: within a budget for each sign (call `quant.projectBudgets` after each
   * step), or by a cap on their norm. Default 'budget'.
   */
  accumulator?: 'budget' | A2QMethod
}

const accumulators: ReadonlySet<string> = new Set(['budget', 'a2q', 'a2q+'])

/**
 * Puts the quantiser that the options ask for on a layer's weight. What learns something is returned,
 * for a field of the layer; null otherwise.
 *
 * @param biasRange codes of the layer's bias, null for a float one
 */
export function quantiseWeight(layer: Module, options: QuantisedWeightOptions, biasRange: IntegerRange | null): Guard | null {
  const { accumulatorBits, accumulator = 'budget', weightNarrow = true, powerOfTwo = false } = options
  if (accumulatorBits === undefined) {
    ensure(options.accumulator === undefined, 'INVALID_ARGUMENT', () => `accumulator is '${accumulator}' but accumulatorBits is not given`)
    layer.addTransform('weight', new WeightQuantiser(options))
    return null
  }
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  ensure(accumulators.has(accumulator), 'INVALID_ARGUMENT', () => `accumulator is ${describe(accumulator)}, expected one of ${[...accumulators].join(', ')}`)
  ensure(
    weightNarrow && !powerOfTwo,
    'INVALID_ARGUMENT',
    () => `accumulator '${accumulator}': codes are narrow and scales learned; leave out weightNarrow and powerOfTwo`,
  )
  const weight = layer.latentWeight('weight')
  const bias = layer.effectiveOrNull('bias') === null ? null : biasRange
  layer.addTransform('weight', guardTransform)
  if (accumulator === 'budget') {
    // (Between its ends every bias leaves room for more.)
    if (bias !== null) for (const end of [bias.min, bias.max]) requireRoom({ accumulatorBits, input: { min: 0, max: 1 }, bias: end })
    return new BudgetQuantiser(weight, { ...options, accumulatorBits })
  }
  return new A2QQuantiser(weight, { ...options, accumulatorBits, accumulator, bias: bias === null ? 0 : -bias.min })
}
