import { wholeNumber } from '../../native/index.js'
import { type PolynomialOptions, polynomial } from './polynomial.js'
import type { Schedule } from './schedule.js'

/** Options of `feedback`: those of `polynomial`, and when the masks settle. */
export interface FeedbackOptions extends Omit<PolynomialOptions, 'draw'> {
  /** Tick after which masks stay as they are. Default: never. */
  freeze?: number
}

/**
 * The level of `polynomial`, and after its end goes on at the amount's own number: each `frequency` ticks
 * masks are drawn anew from the dense weights, to which the gradients pass straight through, so that what was
 * pruned in error returns. Dynamic pruning with feedback, Lin et al. 2020: frequency 16, cubic.
 */
export function feedback({ freeze = Number.POSITIVE_INFINITY, frequency = 16, ...options }: FeedbackOptions): Schedule {
  if (freeze !== Number.POSITIVE_INFINITY) wholeNumber('feedback: freeze', freeze)
  const rise = polynomial({ ...options, frequency: 1, draw: 'anew' })
  const { begin = 0, end } = options
  wholeNumber('feedback: frequency', frequency, 1)
  return {
    name: `feedback(${rise.name})`,
    every: rise.every,
    at(moment, goal) {
      const { tick } = moment
      if (tick < begin || tick > freeze || (tick - begin) % frequency !== 0) return null
      return rise.at({ ...moment, tick: Math.min(tick, end) }, goal)
    },
  }
}
