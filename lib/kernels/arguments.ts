import { describe, EspalierError, ensure } from '../native/index.js'

/** `value` as a Float32Array, of `length` elements where that is given; else an error that names it. */
export function floats(operation: string, name: string, value: unknown, length?: number): Float32Array {
  ensure(value instanceof Float32Array, 'DTYPE_MISMATCH', () => `${operation}: ${name} is ${describe(value)}, expected a Float32Array`)
  ensure(length === undefined || value.length === length, 'SHAPE_MISMATCH', () => `${operation}: ${name} has ${value.length} elements, expected ${length}`)
  return value
}

/** A mask of `length` entries, float32 or uint8. */
export function maskOf(operation: string, value: unknown, length: number): Float32Array | Uint8Array {
  if (!(value instanceof Float32Array) && !(value instanceof Uint8Array))
    throw new EspalierError('DTYPE_MISMATCH', `${operation}: mask is ${describe(value)}, expected a Float32Array or a Uint8Array`)
  ensure(value.length === length, 'SHAPE_MISMATCH', () => `${operation}: mask has ${value.length} elements, expected ${length}`)
  return value
}

/** How many vectors of `size` elements an array holds. */
export function vectorsIn(operation: string, name: string, array: { readonly length: number }, size: number): number {
  ensure(
    size > 0 ? array.length % size === 0 : array.length === 0,
    'SHAPE_MISMATCH',
    () => `${operation}: ${name} has ${array.length} elements, which are no vectors of ${size}`,
  )
  return size > 0 ? array.length / size : 0
}
