import { describe, ensure, realNumber, wholeNumber } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

/** Multiplies the rate by `gamma` (default 0.1) at each of `milestones`; one named twice counts twice. */
export class MultiStepLR extends Schedule {
  constructor(optimizer: Schedulable, { milestones, gamma = 0.1 }: { milestones: readonly number[]; gamma?: number }) {
    ensure(Array.isArray(milestones), 'INVALID_ARGUMENT', () => `MultiStepLR: milestones is ${describe(milestones)}, expected a list`)
    const times = new Map<number, number>()
    for (const milestone of milestones) times.set(wholeNumber('MultiStepLR: a milestone', milestone), (times.get(milestone) ?? 0) + 1)
    realNumber('MultiStepLR: gamma', gamma, 0)
    super('MultiStepLR', optimizer, ({ epoch, lr }) => lr * gamma ** (times.get(epoch) ?? 0))
  }
}
