import { native } from '../native/index.js'
import { floats, maskOf } from './arguments.js'

/**
 * x·mask, element by element; into `out` (which may be x) or a new array.
 *
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * kernels.applyMask(Float32Array.of(1, 2, 3), Uint8Array.of(1, 0, 1)) // [1, 0, 3]
 * ```
 */
export function applyMask(x: Float32Array, mask: Float32Array | Uint8Array, out?: Float32Array): Float32Array {
  floats('applyMask', 'x', x)
  maskOf('applyMask', mask, x.length)
  const y = out === undefined ? new Float32Array(x.length) : floats('applyMask', 'out', out, x.length)
  native.applyMask(x, mask, y)
  return y
}
