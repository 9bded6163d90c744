import { describe, ensure, wholeNumber } from '../../native/index.js'
import type { Schedulable, Schedule, ScheduleState } from './schedule.js'
import { groupsOf } from './schedule.js'

/** One schedule after another: the next begins, from the initial rate, at each of `milestones`. */
export class SequentialLR {
  lastEpoch = 0
  readonly #schedules: readonly Schedule[]
  readonly #milestones: readonly number[]

  constructor(optimizer: Schedulable, { schedules, milestones }: { schedules: readonly Schedule[]; milestones: readonly number[] }) {
    groupsOf('SequentialLR', optimizer)
    ensure(
      Array.isArray(schedules) && schedules.length > 0 && Array.isArray(milestones) && milestones.length === schedules.length - 1,
      'INVALID_ARGUMENT',
      () => `SequentialLR: ${describe(schedules)} and milestones ${describe(milestones)}, expected schedules and one milestone less than them`,
    )
    milestones.forEach((milestone, i) => {
      wholeNumber('SequentialLR: a milestone', milestone, i === 0 ? 1 : milestones[i - 1] + 1)
    })
    this.#schedules = [...schedules]
    this.#milestones = [...milestones]
    // Each schedule set the rates when it was made; only the first one's start counts.
    this.#schedules[0].restart()
  }

  step(): void {
    this.lastEpoch++
    const current = this.#milestones.filter((milestone) => milestone <= this.lastEpoch).length
    if (this.#milestones[current - 1] === this.lastEpoch) this.#schedules[current].restart()
    else this.#schedules[current].step()
  }

  getLastLr(): number[] {
    return this.#schedules[0].getLastLr()
  }

  stateDict(): ScheduleState {
    return { lastEpoch: this.lastEpoch, schedules: this.#schedules.map((schedule) => schedule.stateDict()) }
  }

  loadStateDict({ lastEpoch, schedules }: ScheduleState): void {
    ensure(
      Number.isInteger(lastEpoch) && Array.isArray(schedules) && schedules.length === this.#schedules.length,
      'INVALID_ARGUMENT',
      () => `SequentialLR.loadStateDict: expected the state of ${this.#schedules.length} schedules`,
    )
    this.lastEpoch = lastEpoch
    ;(schedules as ScheduleState[]).forEach((state, i) => {
      this.#schedules[i].loadStateDict(state)
    })
  }
}
