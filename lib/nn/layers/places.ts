// Where layers that hold their kept weights alone keep them, and what is made for these places.
import { ensure } from '../../native/index.js'
import { Tensor } from '../../tensor/index.js'
import type { Module } from '../module.js'
import { timesWritten } from '../state.js'

/** Where something is kept. (To filter all places took 70 ms of a million.) */
export function placesOf(kept: ArrayLike<number>): Int32Array {
  const places = new Int32Array(kept.length)
  let count = 0
  for (let i = 0; i < kept.length; i++) if (kept[i] !== 0) places[count++] = i
  return places.slice(0, count)
}

/** A buffer of places; nobody else holds the array. */
export const bufferOf = (places: Int32Array): Tensor => new Tensor(places, [places.length], 'int32')

interface Made<P> {
  /** Where the positions were read, and how often a state had been loaded into it. */
  buffer: Tensor
  writes: number
  readonly positions: Int32Array
  readonly product: P
}

/**
 * What is made for each layer's positions, given as a mask of so many entries; anew where they changed, because they were
 * replaced, a state was loaded or they were written to. (No field: a copy of a layer makes its own.)
 */
export function madeForPlaces<L extends Module & { readonly positions: Tensor }, P>(
  sizeOf: (layer: L) => number,
  make: (layer: L, mask: Uint8Array) => P,
): (layer: L) => P {
  const made = new WeakMap<L, Made<P>>()
  return (layer) => {
    const { positions: buffer } = layer
    const positions = buffer.storage as Int32Array
    const present = made.get(layer)
    // (Compared only where they may have been written to: it takes as long as a pass over the weights.)
    const writes = timesWritten(buffer)
    const touched = buffer.shown || present?.buffer !== buffer || present.writes !== writes
    if (present !== undefined && (!touched || samePlaces(present.positions, positions))) {
      present.buffer = buffer
      present.writes = writes
      return present.product
    }
    const mask = new Uint8Array(sizeOf(layer))
    for (let i = 0; i < positions.length; i++) {
      ensure(
        positions[i] > (i === 0 ? -1 : positions[i - 1]) && positions[i] < mask.length,
        'INVALID_ARGUMENT',
        () => `${layer.constructor.name}: position ${i} is ${positions[i]}, expected ascending ones below ${mask.length}`,
      )
      mask[positions[i]] = 1
    }
    const product = make(layer, mask)
    made.set(layer, { buffer, writes, positions: positions.slice(), product })
    return product
  }
}

// (As bytes: a loop in JavaScript took longer than a small product.)
function samePlaces(a: Int32Array, b: Int32Array): boolean {
  return bytesOf(a).equals(bytesOf(b))
}
const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array): Buffer => Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength)
