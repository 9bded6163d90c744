import { wholeNumber } from '../../native/index.js'
import type { Schedule } from './schedule.js'

/**
 * A schedule over and over: each `period` ticks it starts again, and what had fallen returns at its first
 * act. After `cycles` of them what fell last stays. Srinivas et al. 2022.
 *
 * @example
 * ```ts
 * import { prune } from 'espalier'
 * prune.cyclic(prune.polynomial({ end: 80, frequency: 10 }), { period: 100, cycles: 3 })
 * ```
 */
export function cyclic(cycle: Schedule, { period, cycles = Number.POSITIVE_INFINITY }: { period: number; cycles?: number }): Schedule {
  wholeNumber('cyclic: period', period, 1)
  if (cycles !== Number.POSITIVE_INFINITY) wholeNumber('cyclic: cycles', cycles, 1)
  return {
    every: cycle.every,
    scores: cycle.scores,
    name: `cyclic(${cycle.name}, ${period})`,
    at(moment, goal) {
      if (moment.tick >= period * cycles) return null
      const tick = moment.tick % period
      const action = cycle.at({ ...moment, tick }, goal)
      return action === null || (action.draw === undefined && tick > 0) ? action : { ...action, draw: tick === 0 ? 'anew' : action.draw }
    },
  }
}
