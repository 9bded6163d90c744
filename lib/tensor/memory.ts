import { markAsUntransferable } from 'node:worker_threads'
import { DeviceArray, EspalierError, native, type Storage } from '../native/index.js'
import { type ArrayOf, arrayConstructor, type DType, type HostDType, isHalf } from './dtype.js'

// Where tensors live on the CPU. V8 owns every buffer, so that its garbage collector frees them inside a loop
// that never yields (finalizers of native memory would wait for the event loop).
//
// Arrays are cut from slabs where they are small enough: making a buffer costs more than a microsecond
// and counts towards the next garbage collection, and a typed array of up to 64 bytes would live on the
// V8 heap until native code asks for its address, which moves it at the same price. A slab lives as
// long as any array in it, so small arrays, which tend to stay, do not share one with large ones.
// Nothing is filled with zeros first.

const alignment = 64

/** Where an array stands. */
interface Place {
  readonly buffer: ArrayBuffer
  readonly offset: number
}

class Slab {
  private buffer = new ArrayBuffer(0)
  private used = 0
  private end = 0

  constructor(
    readonly bytes: number,
    /** The largest array it takes. */
    readonly largest: number,
  ) {}

  /** Where an array of so many bytes may stand. */
  place(bytes: number): Place {
    if (this.used + bytes > this.end) {
      const { buffer, offset } = newPlace(this.bytes)
      // Moving it to another thread would empty every other array in it.
      markAsUntransferable(buffer)
      this.buffer = buffer
      this.used = offset
      this.end = offset + this.bytes
    }
    const offset = this.used
    this.used += Math.ceil(bytes / alignment) * alignment
    return { buffer: this.buffer, offset }
  }
}

const slabs = [new Slab(1 << 16, 1 << 12), new Slab(1 << 19, 1 << 17)]

/** A buffer of its own, with room to begin where a line of the cache does: V8's begin anywhere. */
function newPlace(bytes: number): Place {
  const array = Buffer.allocUnsafeSlow(bytes + alignment)
  const past = native.misalignment(array)
  return { buffer: array.buffer as ArrayBuffer, offset: past === 0 ? 0 : alignment - past }
}

// Storage handed back by a caller that alone held it, by size in bytes. A training step asks for the
// same sizes as the one before, so that what its backward walk hands back serves the next one; the
// garbage collector, which every new buffer brings nearer, has half as much to do.
const spare = new Map<number, Place[]>()
const largestSpare = 1 << 25
let spareBytes = 0

/**
 * Takes back storage that nothing else refers to; the next request of its size gets it.
 * @internal
 */
export function recycle(array: Storage): void {
  if (array instanceof DeviceArray) {
    array.dispose()
    return
  }
  const bytes = array.byteLength
  if (bytes <= slabs[0].largest || spareBytes + bytes > largestSpare) return
  const list = spare.get(bytes)
  const place = { buffer: array.buffer as ArrayBuffer, offset: array.byteOffset }
  if (list === undefined) spare.set(bytes, [place])
  else list.push(place)
  spareBytes += bytes
}

function place(bytes: number): Place {
  const [small, medium] = slabs
  if (bytes <= small.largest) return small.place(bytes)
  const used = spare.get(bytes)?.pop()
  if (used !== undefined) {
    spareBytes -= bytes
    return used
  }
  return bytes <= medium.largest ? medium.place(bytes) : newPlace(bytes)
}

/** Uninitialised storage for `length` elements on the CPU. */
export function allocate<D extends DType>(dtype: D, length: number): ArrayOf<D> {
  if (isHalf(dtype)) throw new EspalierError('DTYPE_MISMATCH', `${dtype} lives on a GPU alone; on the CPU use float32`)
  const Storage = arrayConstructor(dtype as HostDType) as unknown as {
    new (buffer: ArrayBuffer, offset: number, length: number): ArrayOf<D>
    BYTES_PER_ELEMENT: number
  }
  try {
    const { buffer, offset } = place(length * Storage.BYTES_PER_ELEMENT)
    return new Storage(buffer, offset, length)
  } catch (cause) {
    throw new EspalierError('OUT_OF_MEMORY', `no memory for ${length} ${dtype} elements`, { cause })
  }
}
