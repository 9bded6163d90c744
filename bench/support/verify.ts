import type { NativeArray } from '../../lib/native/index.js'

/** Throws unless every value is within `tolerance(i)` of the reference's. */
export function verifyClose(actual: NativeArray, expected: Float64Array, tolerance: (i: number) => number): void {
  if (actual.length !== expected.length) throw new Error(`${actual.length} values, expected ${expected.length}`)
  for (let i = 0; i < expected.length; i++)
    if (!(Math.abs(actual[i] - expected[i]) <= tolerance(i))) throw new Error(`value ${i} is ${actual[i]}, expected ${expected[i]} ± ${tolerance(i)}`)
}

/** Values in ±1, the same in every run. */
export function noise(length: number, seed: number): Float32Array {
  const values = new Float32Array(length)
  let state = seed >>> 0
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    values[i] = (state >>> 8) / 2 ** 23 - 1
  }
  return values
}

/**
 * For C = A·B, m×k by k×n: compares elements picked from all over C with the product in float64. A float32 sum of k
 * terms in any order errs by at most k·2⁻²⁴ times the sum of their sizes.
 */
export function productChecker(a: Float32Array, b: Float32Array, m: number, k: number, n: number): (output: NativeArray) => void {
  const at: number[] = []
  for (let i = 0; i < m * n; i += m * n > 1 << 18 ? 997 : 1) at.push(i)
  const expected = new Float64Array(at.length)
  const sizes = new Float64Array(at.length)
  for (let s = 0; s < at.length; s++) {
    const j = at[s] % n
    const i = (at[s] - j) / n
    for (let p = 0; p < k; p++) {
      const term = a[i * k + p] * b[p * n + j]
      expected[s] += term
      sizes[s] += Math.abs(term)
    }
  }
  return (output) => {
    if (output.length !== m * n) throw new Error(`${output.length} values, expected ${m * n}`)
    verifyClose(
      Float64Array.from(at, (i) => output[i]),
      expected,
      (s) => k * 2 ** -24 * sizes[s],
    )
  }
}
