import type { NativeArray } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'
import type { Amount } from '../amounts/amount.js'
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
   * `left`, and does not write to the mask. `open` is what `open` gave for the mask, where it was asked.
   */
  fall(shape: Shape, mask: Tensor | null, left: NativeArray, open?: NativeArray): Tensor
  /**
   * Where units are counted and ranked in many groups of one size rather than all together: [outer, size,
   * inner], the units in that order; one group is the `size` units along the middle.
   */
  groups?(shape: Shape): readonly [outer: number, size: number, inner: number]
  /** Set where the units are the single entries, in their order. */
  readonly entries?: true
  /** The amount that belongs to it, where none is given. */
  readonly amount?: Amount
  /** The structure as it lies in this layer's weight, where layers differ: filters of a transposed convolution. */
  on?(module: Module): Structure
  /** Structures that act one after another in its place, each on what the ones before left, with amounts of their own where given. */
  readonly parts?: readonly { readonly structure: Structure; readonly amount?: Amount }[]
}
