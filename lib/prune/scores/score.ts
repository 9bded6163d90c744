import type { Generator, Tensor } from '../../tensor/index.js'
import type { Seen, Statistic } from '../statistics/statistic.js'

/** How much each weight matters: of several, those of the lowest score fall first. */
export interface Score {
  readonly name: string
  /**
   * A tensor of the weight's shape and dtype, NaN nowhere; may be the weight itself. Under a mask it is
   * given the masked weight. `seen` holds the layer, its mask, and what was observed of it.
   */
  of(weight: Tensor, seen: Seen): Tensor
  /** Whether entries are ranked by their absolute value, which selection takes on its way. */
  readonly magnitude: boolean
  /**
   * With `magnitude`, the order of the norm that ranks entries that fall together, ±∞ included; 1 if
   * absent. Without it they are ranked by their sum.
   */
  readonly norm?: number
  /** What must have been observed of a weight before it can be scored: a `Pruner` sees to it. Absent: nothing. */
  readonly needs?: readonly Statistic[]
  /** What it draws from, if it does: its state is saved with the pruner's. */
  readonly generator?: Generator
  /** The score of an entry depends on that entry alone: fallen ones need not be zeroed first. */
  readonly entrywise?: boolean
}

/** The `of` of scores that rank weights as they are; known by being this function, so that weights of a GPU are ranked there. */
export const itself = (weight: Tensor): Tensor => weight
