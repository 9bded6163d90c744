import { ensure, realNumber, wholeNumber } from '../../native/index.js'
import type { Schedule } from './schedule.js'

export interface GradualOptions {
  /** The level before training. Default 0.1. */
  start?: number
  /** What the level rises by. Default 0.05. */
  gamma?: number
  /** Samples trained on between two rises; 0 stands for an epoch. Default 0. */
  period?: number
}

/**
 * Evenly: from `start` by `gamma` each `period` until the amount's own number. Masks are drawn anew from the
 * latent weights each time, and no more once that number is reached. N2D2's Gradual, in its float32.
 */
export function gradual({ start = 0.1, gamma = 0.05, period = 0 }: GradualOptions = {}): Schedule {
  realNumber('gradual: start', start, 0)
  realNumber('gradual: gamma', gamma, 0)
  ensure(gamma > 0, 'INVALID_ARGUMENT', () => `gradual: gamma is ${gamma}, expected a number above 0`)
  wholeNumber('gradual: period', period)
  const levelAfter = (rises: number, goal: number): number => {
    let level = Math.fround(start)
    for (let i = 0; i < rises && level < goal; i++) level = Math.min(goal, Math.fround(level + Math.fround(gamma)))
    return level
  }
  return {
    name: `gradual(${start} by ${gamma})`,
    every: period === 0 ? 'epoch' : 'step',
    at({ tick, samples, acts }, goal) {
      if (acts === 0) return { level: start, draw: 'anew' }
      // At most one rise a tick: a batch of several periods is made up for later.
      const due = period === 0 ? tick : Math.floor(samples / period)
      if (due < acts || levelAfter(acts - 1, Math.fround(goal)) >= Math.fround(goal)) return null
      const level = levelAfter(acts, Math.fround(goal))
      return { level: level === Math.fround(goal) ? goal : level, draw: 'anew' }
    },
  }
}
