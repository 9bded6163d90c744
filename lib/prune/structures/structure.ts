import type { NativeArray } from '../../native/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'
import type { Score } from '../scores/score.js'

/** What falls together: it cuts a weight into units, of which each stays or falls as a whole. */
export interface Structure {
  readonly name: string
  /** Number of units of a weight of this shape; an error where it has none of this kind. */
  units(shape: Shape): number
  /** For each unit 1 where it may still fall under the mask so far, else 0, in the mask's dtype. */
  open(mask: Tensor): NativeArray
  /** A score for each unit, of the scores' dtype, from a score for each entry. */
  rank(scores: Tensor, score: Score): NativeArray
  /**
   * The mask so far (null: 1 everywhere) with 0 in the units that fell, which `left` has 0 for. It may take over
   * `left`, and does not write to the mask.
   */
  fall(shape: Shape, mask: Tensor | null, left: NativeArray): Tensor
}
