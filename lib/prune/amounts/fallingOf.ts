import { describe, native, type Storage, wholeNumber } from '../../native/index.js'
import { unset } from '../../tensor/index.js'
import type { Amount } from './amount.js'

/** Units that an amount is asked about. */
export interface Asked {
  readonly remaining: number
  readonly total: number
  /** Whether scores are ranked by their absolute values. */
  readonly magnitude: boolean
  /** Their scores, and for each 1 where it still stands (an empty list: all do). Only looked at by amounts that depend on them. */
  scores(): { ranks: readonly Storage[]; open: readonly Storage[] }
}

/** How many units fall by an amount: a whole number that does not exceed those that remain, or an error. */
export function fallingOf(amount: Amount, { remaining, total, magnitude, scores }: Asked): number {
  const falling = amount.of({
    remaining,
    total,
    atMost(threshold, { strictly = false } = {}) {
      const { ranks, open } = scores()
      return native.countAtMost(ranks, open, Number(magnitude), threshold, Number(strictly))
    },
    lowest(k) {
      wholeNumber('lowest: k', k, 1, remaining)
      const { ranks, open } = scores()
      return native.pruneSmallest(ranks, open, Number(magnitude), k, ranks.map(unset))
    },
  })
  return wholeNumber(`prune: ${describe(amount.name)} of ${remaining} units`, falling, 0, remaining)
}
