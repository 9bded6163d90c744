import { EspalierError, native, wholeNumber } from '../../native/index.js'
import type { IntegerRange } from '../range.js'

/** A register, and what is multiplied into it. */
export interface BudgetedSum {
  /** Width of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** Codes of the inputs; contains 0. */
  input: IntegerRange
  /** Integer that the sum starts from. Default 0. */
  bias?: number
}

/** What the integer weights of a neuron may add up to, the positive ones and the negative ones apart. */
export interface SignBudgets {
  /** Largest sum of the positive weights. */
  readonly positive: number
  /** Largest sum of the magnitudes of the negative weights. */
  readonly negative: number
}

function budgetsIn({ accumulatorBits, input, bias = 0 }: BudgetedSum): SignBudgets {
  const above = 2 ** (accumulatorBits - 1) - 1 - bias
  const below = 2 ** (accumulatorBits - 1) + bias
  // Inputs of one sign: positive weights alone reach the top, negative ones alone the bottom.
  if (input.min === 0) return { positive: Math.floor(above / input.max), negative: Math.floor(below / input.max) }
  // Of both signs, every weight counts at both ends.
  const each = Math.floor(Math.min(above, below) / (input.max - input.min))
  return { positive: each, negative: each }
}

/** Whether one weight of either sign fits. */
function hasRoom({ accumulatorBits, input, bias = 0 }: BudgetedSum): boolean {
  const above = 2 ** (accumulatorBits - 1) - 1 - bias
  const below = 2 ** (accumulatorBits - 1) + bias
  const [high, low] = [input.max, -input.min]
  return Math.min(above, below) >= 0 && ((above >= high && below >= low) || (above >= low && below >= high))
}

/**
 * Budgets that keep a neuron's sum, bias included, inside a register under every input and in every
 * order. For unsigned inputs they are exact: one unit of weight more on a side overflows. Under signed
 * inputs the signs share what there is, and these are equal shares; `budgetCodes` shares it as the weights want.
 *
 * @throws EspalierError INVALID_ARGUMENT where there is no room for a weight; the message says the width that would do
 */
export function signBudgets(sum: BudgetedSum): SignBudgets {
  requireRoom(sum)
  return budgetsIn(sum)
}

/** Throws where not one weight fits; the message says the width that would do. */
export function requireRoom({ accumulatorBits, input, bias = 0 }: BudgetedSum): void {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  if (hasRoom({ accumulatorBits, input, bias })) return
  let enough = accumulatorBits
  while (!hasRoom({ accumulatorBits: enough, input, bias })) enough++
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `accumulatorBits is ${accumulatorBits}: no room for a weight beside a bias of ${bias} under inputs of ${input.min}…${input.max}, expected at least ${enough}`,
  )
}

export interface BudgetCodeOptions extends BudgetedSum {
  /** Largest magnitude of a code. */
  largest: number
}

/**
 * Integer codes of a neuron's weights, in units of a code, that its accumulator holds under every input: the
 * nearest whole numbers with magnitudes up to `largest` among those that fit, for inputs of one sign. A unit of
 * weight that brings them nearer comes first; of equal ones the lower index has it. For inputs of both signs,
 * where every weight counts at both ends, no further unit of those wanted fits.
 *
 * @example
 * ```ts
 * import { quant } from 'espalier'
 * quant.budgetCodes([3.2, 2.9, 2.6, 1.8, 0.7, -1.2], { accumulatorBits: 6, input: { min: 0, max: 3 }, largest: 3 }) // 3, 3, 2, 2, 0, −1
 * ```
 */
export function budgetCodes(v: ArrayLike<number>, options: BudgetCodeOptions): Int32Array {
  requireRoom(options)
  const values = Float64Array.from(v)
  const { accumulatorBits, input, bias = 0, largest } = options
  native.budgetCodes(values, null, Float64Array.of(bias), 1, values.length, largest, values, accumulatorBits, input.min, input.max)
  return Int32Array.from(values)
}

/**
 * A neuron's latent weights, in units of a code, brought to where its accumulator has codes for them: clamped
 * to ±(largest + 0.49), then the magnitudes of each sign less by one amount, nothing below 0: the projection
 * onto the simplex of its budget (Duchi et al. 2008). Under signed inputs the signs share the amount. Done after
 * each step of the optimiser, so that no weight grows that the budget has no code for.
 */
export function projectSigns(v: ArrayLike<number>, options: BudgetCodeOptions): Float64Array {
  requireRoom(options)
  const values = Float64Array.from(v)
  const { accumulatorBits, input, bias = 0, largest } = options
  native.budgetProject(values, null, null, Float64Array.of(bias), 1, values.length, largest, values, accumulatorBits, input.min, input.max)
  return values
}
