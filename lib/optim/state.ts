import { native } from '../native/index.js'
import { empty, gathered, type KeptEntries, type Tensor, zeros } from '../tensor/index.js'

/** What an optimiser remembers of one parameter: how many steps it took, and running means by name. */
export interface ParameterState {
  step: number
  readonly slots: Record<string, Tensor>
}

// Steps after which it is looked at again whether running means of masked entries have faded away.
const patience = 100

/**
 * What an optimiser remembers of a parameter that may be masked. While updates leave out what a mask leaves out, the
 * means of the kept entries are held alone, one after the other; they are spread out when someone asks for all.
 */
export class State implements ParameterState {
  step = 0
  #all: Record<string, Tensor> = {}
  #alone: Record<string, Tensor> = {}
  /** Whose means are in `alone`; those of all others are in `all`, or 0. */
  #entries: KeptEntries | null = null
  /** What was found of the others when it was last looked. */
  #found: { entries: KeptEntries; rest: boolean; step: number } | null = null

  /** Those of all entries. */
  get slots(): Record<string, Tensor> {
    if (this.#entries !== null) {
      const { shape, positions } = this.#entries
      for (const [name, { storage, dtype }] of Object.entries(this.#alone)) {
        this.#all[name] ??= zeros(shape, { dtype })
        native.scatterKept(storage, positions, this.#all[name].storage)
      }
      this.#alone = {}
      this.#entries = null
    }
    // Whoever has them may write to them.
    if (this.#found?.rest) this.#found = null
    return this.#all
  }

  /** Those of the kept entries alone, and the step: for an update of these. */
  of(entries: KeptEntries): ParameterState {
    if (this.#entries?.positions !== entries.positions) {
      this.#alone = Object.fromEntries(Object.entries(this.slots).map(([name, all]) => [name, gathered(all, entries)]))
      this.#entries = entries
    }
    return { step: this.step, slots: this.#alone }
  }

  /** Whether the means of all entries that are not kept are 0. */
  restsOutside(entries: KeptEntries): boolean {
    const found = this.#found
    if (found?.entries.positions === entries.positions && (found.rest || this.step - found.step < patience)) return found.rest
    const all = this.#entries?.positions === entries.positions ? this.#all : this.slots
    const rest = Object.values(all).every((one) => largestOutside(one, entries) === 0)
    this.#found = { entries, rest, step: this.step }
    return rest
  }
}

/** The largest magnitude among the entries that are not kept; NaN where one of them is. */
function largestOutside(all: Tensor, { positions }: KeptEntries): number {
  const others = all.copy()
  const largest = empty([1], all.dtype)
  native.scatterKept(zeros([positions.length], { dtype: all.dtype }).storage, positions, others.storage)
  native.sliceNorm([others.size], [1], Infinity, others.storage, largest.storage)
  return largest.item()
}
