import { realNumber, wholeNumber } from '../../native/index.js'
import { checkedEvery } from './oneShot.js'
import type { Schedule } from './schedule.js'

export interface IterativeOptions {
  /** Rounds until the amount's own number is reached. */
  rounds: number
  /** Ticks from one round to the next: the training between them. */
  frequency: number
  /** Tick of the first round. Default 0. */
  begin?: number
  /** What a tick is. Default 'epoch'. */
  every?: 'step' | 'epoch'
}

/**
 * Prune, train, prune again: each of `rounds` rounds takes the same share of what stands, 1 − (1 − p)^(1/rounds),
 * so that the last one reaches p, a share of the total. Han et al. 2015; Frankle & Carbin 2019.
 */
export function iterative({ rounds, frequency, begin = 0, every = 'epoch' }: IterativeOptions): Schedule {
  wholeNumber('iterative: rounds', rounds, 1)
  wholeNumber('iterative: frequency', frequency, 1)
  wholeNumber('iterative: begin', begin)
  return {
    name: `iterative(${rounds} rounds)`,
    every: checkedEvery('iterative', every),
    at({ tick }, goal) {
      const round = (tick - begin) / frequency + 1
      if (tick < begin || !Number.isInteger(round) || round > rounds) return null
      realNumber('iterative: the share to reach', goal, 0, 1)
      return { level: 1 - (1 - goal) ** (round / rounds) }
    },
  }
}
