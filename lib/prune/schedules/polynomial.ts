import { ensure, realNumber, wholeNumber } from '../../native/index.js'
import { checkedEvery } from './oneShot.js'
import type { Schedule } from './schedule.js'

export interface PolynomialOptions {
  /** The level at `begin`; the amount's own number is that at `end`. Default 0. */
  initial?: number
  /** First and last tick, `begin` < `end`. Default for the first: 0. */
  begin?: number
  end: number
  /** Ticks between two prunings. Default 1. */
  frequency?: number
  /** 3: the cubic of Zhu & Gupta; 1: linear. Default 3. */
  power?: number
  /** What a tick is. Default 'step'. */
  every?: 'step' | 'epoch'
  /** Whether `end` is acted at where it is not a multiple of `frequency` from `begin`, so that the goal is reached. Default true. */
  atEnd?: boolean
  /** Whether what fell may return. Default 'onward': it may not. */
  draw?: 'onward' | 'anew'
}

/**
 * Quickly at first, then ever more slowly: the level at tick t is goal + (initial − goal)·(1 − (t − begin) / (end − begin))^power,
 * at t = begin, every `frequency` ticks, and at `end`. Zhu & Gupta 2017; TensorFlow's PolynomialDecay.
 *
 * @example
 * ```ts
 * import { prune } from 'espalier'
 * const schedule = prune.polynomial({ initial: 0.2, begin: 100, end: 110, frequency: 2 })
 * schedule.at({ tick: 102, samples: 0, acts: 1 }, 0.8) // level 0.4928
 * schedule.at({ tick: 103, samples: 0, acts: 2 }, 0.8) // null
 * ```
 */
export function polynomial({
  initial = 0,
  begin = 0,
  end,
  frequency = 1,
  power = 3,
  every = 'step',
  atEnd = true,
  draw = 'onward',
}: PolynomialOptions): Schedule {
  realNumber('polynomial: initial', initial, 0)
  wholeNumber('polynomial: begin', begin)
  wholeNumber('polynomial: end', end)
  ensure(begin < end, 'INVALID_ARGUMENT', () => `polynomial: begin is ${begin}, end ${end}; it must begin before it ends`)
  wholeNumber('polynomial: frequency', frequency, 1)
  realNumber('polynomial: power', power, 0)
  return {
    name: `polynomial(${initial}, ${begin} to ${end})`,
    every: checkedEvery('polynomial', every),
    at({ tick }, goal) {
      if (tick < begin || tick > end || ((tick - begin) % frequency !== 0 && !(atEnd && tick === end))) return null
      return { level: goal + (initial - goal) * (1 - (tick - begin) / (end - begin)) ** power, draw }
    },
  }
}
