import type { NativeArray } from '../../lib/native/index.js'
import { type DType, type Tensor, tensor } from '../../lib/tensor/index.js'

/** A tensor as the golden files write it. */
export interface Golden {
  shape: number[]
  data: number[]
  dtype?: 'int64'
}

/** What deviates: undefined where |a − b| ≤ relative·max|b| + absolute over the whole tensor. */
export function deviation(name: string, actual: Tensor | null | undefined, golden: Golden, relative: number, absolute: number): string | undefined {
  if (!actual) return `${name} is missing`
  if (actual.shape.length !== golden.shape.length || actual.shape.some((dimension, i) => dimension !== golden.shape[i]))
    return `${name} has shape [${actual.shape}], expected [${golden.shape}]`
  return listDeviation(name, actual.data, golden.data, relative, absolute)
}

export function listDeviation(name: string, actual: ArrayLike<number>, golden: readonly number[], relative: number, absolute: number): string | undefined {
  if (actual.length !== golden.length) return `${name} has ${actual.length} values, expected ${golden.length}`
  const allowed = relative * golden.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0) + absolute
  let worst = 0
  let at = -1
  for (let i = 0; i < golden.length; i++) {
    const distance = Math.abs(actual[i] - golden[i])
    if (!(distance <= worst)) {
      worst = distance
      at = i
    }
  }
  if (worst <= allowed) return undefined
  return `${name}[${at}] is ${actual[at]}, expected ${golden[at]} ± ${allowed.toExponential(1)}`
}

/** A golden tensor as one of ours; integers become int32. */
export function fromGolden(golden: Golden, dtype: DType, requiresGrad = false): Tensor {
  const integer = golden.dtype === 'int64'
  const made = tensor(new Float64Array(golden.data) as NativeArray, golden.shape, { dtype: integer ? 'int32' : dtype })
  made.requiresGrad = requiresGrad && !integer
  return made
}
