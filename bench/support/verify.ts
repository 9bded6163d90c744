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
