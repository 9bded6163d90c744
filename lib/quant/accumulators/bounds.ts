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

/**
 * The exact bound of one neuron, bias + Σ qᵢ·xᵢ over integer inputs with low ≤ xᵢ ≤ high.
 *
 * With p the sum of the positive weights and n of the negative ones, the largest value is
 * bias + high·p + low·n and the smallest bias + low·p + high·n, both reached: by the input that takes
 * one end of the range under each positive weight and the other under each negative one. The sum
 * starts at the bias; as low ≤ 0 ≤ high, every partial sum, in any order of the products, lies
 * between the same two ends: a product not yet added counts as one of input 0.
 *
 * @param weights integer weights of the neuron
 * @param input range of its integer inputs; contains 0
 * @param bias integer the accumulator starts from
 */
export function accumulatorBound(weights: ArrayLike<number>, input: IntegerRange, bias = 0): AccumulatorBound {
  let positive = 0
  let negative = 0
  for (let i = 0; i < weights.length; i++)
    if (weights[i] > 0) positive += weights[i]
    else negative += weights[i]
  const max = bias + input.max * positive + input.min * negative
  const min = bias + input.min * positive + input.max * negative
  return { min, max, bits: bitsFor(min, max) }
}

/** The input at which a neuron's accumulator reaches its largest (or smallest) value. */
export const witness = (weights: ArrayLike<number>, input: IntegerRange, end: 'min' | 'max'): Int32Array =>
  Int32Array.from(weights, (weight) => (weight === 0 ? 0 : weight > 0 === (end === 'max') ? input.max : input.min))
