import { EspalierError } from '../native/index.js'
import { type ArrayOf, arrayConstructor, type DType } from './dtype.js'

// Where tensors live. V8 owns every buffer, so that its garbage collector frees them inside a loop
// that never yields (finalizers of native memory would wait for the event loop).
//
// Small arrays are cut from slabs: a typed array of its own costs five times as much to make, and
// one of up to 64 bytes lives on the V8 heap until native code asks for its address, which moves it
// at the price of a microsecond. Larger ones skip the zero fill that `new Float32Array` would do.

const slabBytes = 1 << 16
const smallBytes = 1 << 12
const alignment = 64

let slab = new ArrayBuffer(0)
let used = 0

/** Uninitialised storage for `length` elements. */
export function allocate<D extends DType>(dtype: D, length: number): ArrayOf<D> {
  const Storage = arrayConstructor(dtype) as unknown as { new (buffer: ArrayBuffer, offset: number, length: number): ArrayOf<D>; BYTES_PER_ELEMENT: number }
  const bytes = length * Storage.BYTES_PER_ELEMENT
  if (bytes <= smallBytes) {
    if (used + bytes > slab.byteLength) {
      slab = new ArrayBuffer(slabBytes)
      used = 0
    }
    const array = new Storage(slab, used, length)
    used += Math.ceil(bytes / alignment) * alignment
    return array
  }
  try {
    return new Storage(Buffer.allocUnsafeSlow(bytes).buffer as ArrayBuffer, 0, length)
  } catch (cause) {
    throw new EspalierError('OUT_OF_MEMORY', `no memory for ${length} ${dtype} elements`, { cause })
  }
}
