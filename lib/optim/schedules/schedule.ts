import { describe, EspalierError, ensure } from '../../native/index.js'
import { Optimizer, type ParamGroup } from '../optimizer.js'

/** An optimiser of any kind, as schedules see it. */
export type AnyOptimizer = Optimizer<{ lr: number }>
export type AnyGroup = ParamGroup<{ lr: number }>

/** Where a schedule stands in one group, when it is asked for the group's next rate. */
export interface Place {
  /** Steps taken; 0 at construction. */
  epoch: number
  /** The rate now. */
  lr: number
  /** The rate the group started from. */
  base: number
  /** Number of the group. */
  group: number
}

export interface ScheduleState {
  lastEpoch: number
  [name: string]: unknown
}

/** Accepts any optimiser; each class has settings of its own that schedules do not ask about. */
export type Schedulable = { readonly paramGroups: { lr: number; readonly params: unknown[]; initialLr?: number }[] }

export function groupsOf(schedule: string, optimizer: Schedulable): AnyGroup[] {
  ensure(optimizer instanceof Optimizer, 'INVALID_ARGUMENT', () => `${schedule}: the optimizer is ${describe(optimizer)}`)
  return optimizer.paramGroups as unknown as AnyGroup[]
}

/** An array of one value a group: what was given for each, or the same for all. */
export function perGroup(name: string, value: number | readonly number[], groups: number): readonly number[] {
  if (typeof value === 'number') return Array.from({ length: groups }, () => value)
  if (Array.isArray(value) && value.length === groups) return value
  throw new EspalierError('INVALID_ARGUMENT', `${name} is ${describe(value)}, expected a number, or one for each of ${groups} groups`)
}

/**
 * A learning-rate schedule: sets `lr` of every group at construction and at each `step()`. It is one
 * rule, mostly a recurrence in the present rate, so that schedules on one optimiser chain as in PyTorch.
 */
export class Schedule {
  lastEpoch = 0
  readonly #groups: AnyGroup[]
  readonly #bases: number[]
  readonly #rule: (place: Place) => number

  constructor(name: string, optimizer: Schedulable, rule: (place: Place) => number) {
    this.#groups = groupsOf(name, optimizer)
    this.#rule = rule
    for (const group of this.#groups) group.initialLr ??= group.lr
    this.#bases = this.#groups.map(({ initialLr }) => initialLr as number)
    this.#apply()
  }

  /** Moves on by one step; call it after the optimiser's. */
  step(): void {
    this.lastEpoch++
    try {
      this.#apply()
    } catch (error) {
      this.lastEpoch--
      throw error
    }
  }

  /** Begins anew from the initial rates. */
  restart(): void {
    this.#groups.forEach((group, i) => {
      group.lr = this.#bases[i]
    })
    this.lastEpoch = 0
    this.#apply()
  }

  /** The rate of each group now. */
  getLastLr(): number[] {
    return this.#groups.map(({ lr }) => lr)
  }

  stateDict(): ScheduleState {
    return { lastEpoch: this.lastEpoch }
  }

  /** Takes over a saved place; the rates themselves are part of the optimiser's state. */
  loadStateDict({ lastEpoch }: ScheduleState): void {
    ensure(Number.isInteger(lastEpoch) && lastEpoch >= 0, 'INVALID_ARGUMENT', () => `loadStateDict: lastEpoch is ${describe(lastEpoch)}`)
    this.lastEpoch = lastEpoch
  }

  #apply(): void {
    const rates = this.#groups.map(({ lr }, group) => this.#rule({ epoch: this.lastEpoch, lr, base: this.#bases[group], group }))
    rates.forEach((lr, i) => {
      this.#groups[i].lr = lr
    })
  }
}
