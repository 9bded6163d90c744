import { EspalierError, wholeNumber } from '../../native/index.js'
import type { IntegerRange } from '../range.js'
import { shrinkage } from './l1Projection.js'

/** What the integer weights of a neuron may add up to, the positive ones and the negative ones apart. */
export interface SignBudgets {
  /** Largest sum of the positive weights. */
  readonly positive: number
  /** Largest sum of the magnitudes of the negative weights. */
  readonly negative: number
}

export interface SignBudgetOptions {
  /** Width of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** Codes of the inputs; contains 0. */
  input: IntegerRange
  /** Integers that the sum may start from. Default: 0 alone. */
  bias?: IntegerRange
}

/** The budgets in a register, negative where the bias alone overflows it. */
function budgetsIn(accumulatorBits: number, input: IntegerRange, bias: IntegerRange): SignBudgets {
  const above = 2 ** (accumulatorBits - 1) - 1 - bias.max
  const below = 2 ** (accumulatorBits - 1) + bias.min
  // Inputs of one sign: positive weights alone reach the top, negative ones alone the bottom.
  if (input.min === 0) return { positive: Math.floor(above / input.max), negative: Math.floor(below / input.max) }
  // Of both signs, every weight counts at both ends; equal budgets are those of centred weights.
  const each = Math.floor(Math.min(above, below) / (input.max - input.min))
  return { positive: each, negative: each }
}

const usable = ({ positive, negative }: SignBudgets): boolean => Math.min(positive, negative) >= 0 && positive + negative > 0

/**
 * Budgets that keep a neuron's sum, bias included, inside a register under every input and in every
 * order. For unsigned inputs they are exact: one unit of weight more on a side overflows.
 *
 * @throws EspalierError INVALID_ARGUMENT where there is no room for a weight; the message says the width that would do
 */
export function signBudgets({ accumulatorBits, input, bias = { min: 0, max: 0 } }: SignBudgetOptions): SignBudgets {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  const budgets = budgetsIn(accumulatorBits, input, bias)
  if (usable(budgets)) return budgets
  let enough = accumulatorBits
  while (!usable(budgetsIn(enough, input, bias))) enough++
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `accumulatorBits is ${accumulatorBits}: no room for a weight beside a bias of ${bias.min}…${bias.max} under inputs of ${input.min}…${input.max}, expected at least ${enough}`,
  )
}

/**
 * The whole numbers 0 … largest nearest to some magnitudes whose sum is at most `budget`: the Euclidean
 * projection onto the integer points of a simplex. The k-th unit of an entry brings its square nearer
 * by 2·(v − k + ½), less for each further one, so the budget goes to the units that bring most; of
 * equal ones the lower index has it.
 */
export function integerProjection(magnitudes: ArrayLike<number>, budget: number, largest: number): Int32Array {
  const gain = (i: number, unit: number): number => magnitudes[i] - unit + 0.5
  const wanted = Int32Array.from(magnitudes, (value) => Math.min(largest, Math.max(0, Math.ceil(value - 0.5))))
  const sum = wanted.reduce((total, units) => total + units, 0)
  if (sum <= budget) return wanted
  if (budget <= 0) return wanted.fill(0)
  const gains = new Float64Array(sum)
  let count = 0
  for (const [i, units] of wanted.entries()) for (let unit = 1; unit <= units; unit++) gains[count++] = gain(i, unit)
  const least = gains.sort()[sum - budget]
  const kept = wanted.map((units, i) => {
    let left = units
    while (left > 0 && gain(i, left) <= least) left--
    return left
  })
  let rest = budget - kept.reduce((total, units) => total + units, 0)
  for (let i = 0; rest > 0 && i < kept.length; i++)
    if (kept[i] < wanted[i] && gain(i, kept[i] + 1) === least) {
      kept[i]++
      rest--
    }
  return kept
}

/** Codes of a neuron's weights, in units of a code: each sign projected onto its budget. */
export function budgetCodes(v: ArrayLike<number>, { positive, negative }: SignBudgets, largest: number): Int32Array {
  const up = integerProjection(
    Float64Array.from(v, (value) => Math.max(0, value)),
    positive,
    largest,
  )
  const down = integerProjection(
    Float64Array.from(v, (value) => Math.max(0, -value)),
    negative,
    largest,
  )
  return up.map((units, i) => units - down[i])
}

/**
 * A neuron's latent weights, in units of a code, brought within reach of their codes: clamped to
 * ±(largest + 0.49), then each sign projected onto the simplex of its budget (Duchi et al. 2008). Done
 * after each step of the optimiser, so that no weight grows that the budget has no code for.
 */
export function projectSigns(v: ArrayLike<number>, { positive, negative }: SignBudgets, largest: number): Float64Array {
  const reach = largest + 0.49
  const clamped = Float64Array.from(v, (value) => Math.min(reach, Math.max(-reach, value)))
  const up = shrinkage(
    clamped.map((value) => Math.max(0, value)),
    positive,
  )
  const down = shrinkage(
    clamped.map((value) => Math.max(0, -value)),
    negative,
  )
  return clamped.map((value) => (value > 0 ? Math.max(0, value - up) : Math.min(0, value + down)))
}
