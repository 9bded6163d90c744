import { describe, ensure, wholeNumber } from '../../native/index.js'
import type { Schedule } from './schedule.js'

/** All at once, before training or `at` a later tick. */
export function oneShot({ at = 0, every = 'step' }: { at?: number; every?: 'step' | 'epoch' } = {}): Schedule {
  wholeNumber('oneShot: at', at)
  return { name: `oneShot(${at})`, every: checkedEvery('oneShot', every), at: ({ tick }) => (tick === at ? {} : null) }
}

/** `every`, or the error for what is none. */
export function checkedEvery(operation: string, every: unknown): 'step' | 'epoch' {
  ensure(every === 'step' || every === 'epoch', 'INVALID_ARGUMENT', () => `${operation}: every is ${describe(every)}, expected 'step' or 'epoch'`)
  return every
}
