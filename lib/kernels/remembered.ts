// What was prepared for a mask, kept as long as the mask itself: a program that passes the same mask again and again
// pays for it once.
import { EspalierError, native } from '../native/index.js'

/** A mask of zeros and ones. */
export type MaskArray = Float32Array | Uint8Array

/** Something prepared for the kept entries of a mask. */
interface Prepared {
  positions(): Int32Array
  setValues(values: Float32Array): void
}

/** The share of kept entries above which a dense product of weight · mask is the faster. */
export const densestSparse = 0.6

/** What `prepare` makes of a mask, remembered by the array and, since that may be written to, by what it holds. */
export class Remembered<T extends Prepared> {
  readonly #made = new WeakMap<MaskArray, { readonly key: string; readonly mask: MaskArray; readonly positions: Int32Array; readonly prepared: T | null }>()

  constructor(private readonly operation: string) {}

  /**
   * What is prepared for a mask, holding the values of `weight`; null where it does not pay to keep so many. `key`
   * names what else `prepare` and `pays` depend on.
   */
  for(mask: MaskArray, weight: Float32Array, key: string, pays: (kept: number) => boolean, prepare: () => T): T | null {
    let known = this.#made.get(mask)
    if (known === undefined || known.key !== key || !sameBytes(known.mask, mask)) {
      const kept = native.countOnes(mask)
      if (kept < 0) throw new EspalierError('INVALID_ARGUMENT', `${this.operation}: mask holds values other than 0 and 1`)
      const prepared = pays(kept) ? prepare() : null
      known = { key, mask: mask.slice(), positions: prepared?.positions() ?? new Int32Array(0), prepared }
      this.#made.set(mask, known)
    }
    const { positions, prepared } = known
    if (prepared === null) return null
    const values = new Float32Array(positions.length)
    for (let i = 0; i < positions.length; i++) values[i] = weight[positions[i]]
    prepared.setValues(values)
    return prepared
  }
}

const bytesOf = (array: MaskArray): Buffer => Buffer.from(array.buffer, array.byteOffset, array.byteLength)
const sameBytes = (a: MaskArray, b: MaskArray): boolean => Buffer.compare(bytesOf(a), bytesOf(b)) === 0
