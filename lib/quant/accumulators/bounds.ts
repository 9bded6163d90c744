import type { IntegerRange } from '../range.js'
import { bitsFor } from '../range.js'

/** All that a neuron's accumulator can hold. */
export interface AccumulatorBound {
  /** Smallest and largest sum over all inputs in range, at any point of the summation. */
  readonly min: number
  readonly max: number
  /** The least two's complement width that holds both. */
  readonly bits: number
}

/** Sums of the positive weights of a neuron and of its negative ones. */
function sidesOf(weights: ArrayLike<number>): { positive: number; negative: number } {
  let positive = 0
  let negative = 0
  for (let i = 0; i < weights.length; i++)
    if (weights[i] > 0) positive += weights[i]
    else negative += weights[i]
  return { positive, negative }
}

/**
 * The exact bound of one neuron's register while it adds up bias + Σ qᵢ·xᵢ over integer inputs with
 * low ≤ xᵢ ≤ high, in any order.
 *
 * With p the sum of the positive weights and n of the negative ones, and low ≤ 0 ≤ high, the largest value is
 * bias + high·p + low·n and the smallest bias + low·p + high·n, both reached: by the input that takes one
 * end of the range under each positive weight and the other under each negative one. The sum starts at
 * the bias, and every partial sum lies between the same two ends: a product not yet added counts as one
 * of input 0.
 *
 * Where the range leaves 0 out that last step fails: a sum on its way may lie outside of all complete
 * ones. What the register holds then is bounded by the same formula over the range widened to 0, which
 * is exact too: reached where the products of one sign come first. `completeBound` bounds the sum at the end.
 *
 * @param weights integer weights of the neuron
 * @param input range of its integer inputs
 * @param bias integer the accumulator starts from
 */
export function accumulatorBound(weights: ArrayLike<number>, input: IntegerRange, bias = 0): AccumulatorBound {
  const { min, max } = completeBound(weights, { min: Math.min(0, input.min), max: Math.max(0, input.max) }, bias)
  return { min, max, bits: bitsFor(min, max) }
}

/** The smallest and the largest complete sum bias + Σ qᵢ·xᵢ: that of `accumulatorBound` where the inputs may be 0. */
export function completeBound(weights: ArrayLike<number>, input: IntegerRange, bias = 0): IntegerRange {
  const { positive, negative } = sidesOf(weights)
  return {
    min: bias + input.min * positive + input.max * negative,
    max: bias + input.max * positive + input.min * negative,
  }
}

/**
 * The input at which a neuron's accumulator reaches its largest (or smallest) value: once all products are
 * added, or, where the range leaves 0 out, once those of that sign are, added first.
 */
export const witness = (weights: ArrayLike<number>, input: IntegerRange, end: 'min' | 'max'): Int32Array =>
  Int32Array.from(weights, (weight) => (weight === 0 ? Math.max(input.min, Math.min(0, input.max)) : weight > 0 === (end === 'max') ? input.max : input.min))

/** What the witness of an end brings the accumulator to: the bias and the products of that sign, one by one. */
export function reached(weights: ArrayLike<number>, input: IntegerRange, bias: number, end: 'min' | 'max'): number {
  const x = witness(weights, input, end)
  let sum = bias
  for (let i = 0; i < x.length; i++) if (weights[i] * x[i] > 0 === (end === 'max')) sum += weights[i] * x[i]
  return sum
}
