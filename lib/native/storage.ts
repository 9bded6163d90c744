import type { Dtype } from './operations.js'

/** Storage in the memory of this process. */
export type NativeArray = Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array

/** Where a tensor lives: the processor's memory, the first GPU, or another one by its number. */
export type Device = 'cpu' | 'cuda' | `cuda:${number}`

/** What `DeviceArray` needs of those who made it. */
export interface Owner {
  release(array: DeviceArray): void
  clone(array: DeviceArray): DeviceArray
}

/**
 * Storage in the memory of a GPU. JavaScript sees none of its elements; kernels take it where they take
 * a typed array.
 *
 * Its memory returns to the library's cache when it is disposed of, or when the garbage collector finds
 * it unreachable.
 */
export class DeviceArray {
  /** Whether it outlives the scope it was made in. */
  kept = false
  #disposed = false

  /** @internal */
  constructor(
    readonly handle: object,
    readonly dtype: keyof typeof Dtype,
    /** Elements. */
    readonly length: number,
    readonly device: Device,
    readonly owner: Owner,
  ) {}

  get disposed(): boolean {
    return this.#disposed
  }

  /** Frees its memory at once; a second call does nothing. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.owner.release(this)
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  /** A copy on the same device. */
  clone(): DeviceArray {
    return this.owner.clone(this)
  }
}

/** What a tensor's elements are kept in. */
export type Storage = NativeArray | DeviceArray
