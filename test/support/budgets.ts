// What the kernels of budgets must give, by the definition and one row at a time.
import type { IntegerRange } from '../../lib/quant/range.js'

export const total = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0)
export const positivePart = (values: ArrayLike<number>): number => total(Array.from(values, (value) => Math.max(0, value)))
export const negativePart = (values: ArrayLike<number>): number => total(Array.from(values, (value) => Math.max(0, -value)))
export const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => total(Array.from(a, (value, i) => (value - b[i]) ** 2))

/** A register: its width, the codes multiplied into it, and what it starts from. */
export interface Register {
  bits: number
  input: IntegerRange
  bias: number
}

/** Whether a neuron whose positive codes add up to p, its negative ones to −n, stays inside. */
export const fits = ({ bits, input: { min, max }, bias }: Register, p: number, n: number): boolean =>
  bias + max * p - min * n <= 2 ** (bits - 1) - 1 && bias + min * p - max * n >= -(2 ** (bits - 1))

/**
 * The whole numbers 0 … largest nearest to some magnitudes whose sum is at most `budget`. The k-th unit of an
 * entry brings its square nearer by 2·(v − k + ½), less for each further one, so the budget goes to the units
 * that bring most.
 */
export function nearestWithin(magnitudes: ArrayLike<number>, budget: number, largest: number): number[] {
  const units = Array.from(magnitudes, (magnitude, i) =>
    Array.from({ length: Math.min(largest, Math.max(0, Math.ceil(magnitude - 0.5))) }, (_, unit) => ({ i, gain: magnitude - unit - 0.5 })),
  ).flat()
  const codes = Array.from(magnitudes, () => 0)
  for (const { i } of units.sort((a, b) => b.gain - a.gain || a.i - b.i).slice(0, budget)) codes[i]++
  return codes
}

/** The amount by which magnitudes must shrink for their weighted sum to be at most `budget`, by bisection. */
export function shrinkageOf(magnitudes: readonly number[], factors: readonly number[], budget: number): number {
  const sum = (amount: number): number => total(magnitudes.map((magnitude, i) => factors[i] * Math.max(0, magnitude - amount)))
  if (sum(0) <= budget) return 0
  let [low, high] = [0, Math.max(...magnitudes)]
  for (let i = 0; i < 100; i++) {
    const middle = (low + high) / 2
    if (sum(middle) <= budget) high = middle
    else low = middle
  }
  return high
}
