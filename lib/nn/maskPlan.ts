// What a layer knows of its mask from pass to pass.
import { type Device, DeviceArray, native } from '../native/index.js'
import { type KeptEntries, sameShape, type Tensor } from '../tensor/index.js'
import { copyOfMask, keepsSame, type MaskCopy } from './maskCopy.js'
import type { Module } from './module.js'
import { timesWritten } from './state.js'

/** What a layer ran on in its latest forward pass, and why. Times are nanoseconds, of the model that chose. */
export interface KernelChoice {
  readonly runs: 'dense' | 'sparse'
  readonly reason: string
  /** What multiplies, where it is sparse or works on panels: the format of a matrix, 'stencil' for a convolution, 'elements' on a GPU. */
  readonly kernel?: string
  /** How the weight's gradient is made: of the kept weights alone, or of all. Absent where there is none. */
  readonly weightGradient?: 'kept' | 'all'
  /** The share of weights that the mask keeps. */
  readonly density?: number
  /** What one pass, with the gradients it needs, is expected to take; absent where nothing is known of it. */
  readonly dense?: number
  readonly sparse?: number
}

/** What is prepared for a mask: a matrix, a convolution, a pattern on a GPU. */
export interface Prepared {
  readonly count: number
  /** Null where the CPU does not know them. */
  readonly places: Int32Array | null
  /** Nanoseconds that making it took so far, where that is measured. */
  readonly makingTime?: number
  retire(): void
}

// Nanoseconds of preparing kernels for a mask and its gradients: at any rate, for an entry, for a kept one. On a GPU those
// of a pattern, on an H200: .35 ms at 1024², 1.5 to 2 at 4096², 5 to 6 at 8192², with 5% or 10% kept.
const timesHere = [100_000, 1, 75]
const timesOnGpu = [250_000, 0.08, 0]
// A mask under which sparse kernels do not pay must last that many passes before they are tried with its successor.
const trialPasses = 50
// Batches of ever other sizes would pile up.
const mostChoices = 64

/** Nanoseconds that preparing kernels for a mask of `size` entries that keeps `count` is expected to take: `npm run bench -- making` compares. */
export function preparationTime(device: Device, size: number, count: number): number {
  const [any, entry, kept] = device === 'cpu' ? timesHere : timesOnGpu
  return any + entry * size + kept * count
}

/** What is known of a layer's mask. */
export class MaskPlan<P extends Prepared> {
  /** The mask as it was in the latest pass, and where it keeps something: known once that is asked for. */
  entries: KeptEntries | null = null
  /** How many it keeps; −1 where it is not of zeros and ones. */
  count = 0
  /** What was chosen for this mask, by what else it depends on. */
  readonly choices = new Map<string, KernelChoice>()
  latest: KernelChoice | null = null
  #kept: MaskCopy = new Uint8Array(0)
  #prepared: P | null = null
  #passes = 0
  #writes = 0
  // How long the mask before this one lasted, and how long one must last for its preparation to pay.
  #life = Infinity
  #needed = 0

  /** Where the weight and its mask lie. */
  readonly device: Device

  constructor(readonly latent: Tensor) {
    this.device = latent.device
  }

  /** Looks whether the mask is what it was in the pass before. */
  see(mask: Tensor): void {
    const writes = timesWritten(mask)
    const touched = writes !== this.#writes || mask.shown
    if (touched || this.entries?.mask !== mask) {
      const alike = this.entries !== null && this.count >= 0 && sameShape(this.entries.shape, mask.shape) && keepsSame(mask.storage, this.#kept)
      if (!alike) this.#change(mask)
      else if (this.entries?.mask !== mask) this.entries = { ...(this.entries as KeptEntries), mask }
    }
    this.#writes = writes
    this.#passes++
  }

  /** Forgets the mask and frees what is prepared for it. How long it lasted stays known. */
  forget(): void {
    if (this.entries !== null) this.#life = this.#passes
    this.#passes = 0
    this.retire()
    this.choices.clear()
    if (this.#kept instanceof DeviceArray) this.#kept.dispose()
    this.#kept = new Uint8Array(0)
    this.entries = null
  }

  #change(mask: Tensor): void {
    this.forget()
    this.count = native.countOnes(mask.storage)
    if (this.count >= 0) this.#kept = copyOfMask(mask.storage)
    this.entries = { shape: mask.shape, mask, positions: new Int32Array(0) }
  }

  /** How many passes this mask has to last before it pays to prepare kernels for it; null: they can be had. */
  get waits(): number | null {
    return this.#prepared !== null || this.#life >= this.#needed || this.#passes > this.#needed ? null : this.#needed
  }

  /** What is prepared for this mask. */
  prepared(prepare: (mask: Tensor, count: number) => P): P {
    if (this.#prepared === null) {
      const { mask, shape } = this.entries as KeptEntries
      this.#prepared = prepare(mask, this.count)
      const { places } = this.#prepared
      if (places !== null) this.entries = { shape, mask, positions: shared(this.latent, places) }
    }
    return this.#prepared
  }

  /** What preparing for this mask took so far, in nanoseconds; undefined where nothing is prepared. */
  get makingTime(): number | undefined {
    return this.#prepared?.makingTime
  }

  /** Frees what is prepared. */
  retire(): void {
    this.#prepared?.retire()
    this.#prepared = null
  }

  /** Keeps a choice, and by the nanoseconds it saves a pass how long a mask must last; null: nothing is known of that. */
  settle(key: string, choice: KernelChoice, saved: number | null): KernelChoice {
    if (this.choices.size >= mostChoices) this.choices.clear()
    this.choices.set(key, choice)
    if (saved !== null) this.#needed = saved > 0 ? Math.ceil(preparationTime(this.device, this.#kept.length, this.count) / saved) : trialPasses
    return choice
  }
}

/** What is known of the masks of layers that ran with one. */
export const plans = new WeakMap<Module, MaskPlan<Prepared>>()

// Layers that share a parameter and keep the same of it share the list, so that their gradients add up as they are.
const lists = new WeakMap<Tensor, WeakRef<Int32Array>>()

function shared(latent: Tensor, positions: Int32Array): Int32Array {
  const present = lists.get(latent)?.deref()
  if (present !== undefined && Buffer.from(present.buffer).equals(Buffer.from(positions.buffer))) return present
  lists.set(latent, new WeakRef(positions))
  return positions
}
