import { noGrad } from '../autograd/index.js'
import { describe, ensure, type NativeArray, native, wholeNumber } from '../native/index.js'
import { allocate, formatShape, full, sameShape, Tensor } from '../tensor/index.js'
import type { Amount } from './amounts/amount.js'
import type { Score } from './scores/score.js'
import type { Structure } from './structures/structure.js'

/** The parts that say which weights fall. */
export interface Parts {
  readonly score: Score
  readonly structure: Structure
  readonly amount: Amount
}

/** A weight as it meets the parts. */
export interface Ranked {
  /** What the score is taken of: the masked weight, or what stands in for it. */
  readonly weight: Tensor
  /** The mask so far, of the weight's shape and dtype; null: nothing has fallen yet. */
  readonly mask: Tensor | null
}

/**
 * The masks of several weights after the amount of their lowest-scored units fell, all taken together;
 * of equal scores the lower index, in the earlier weight, falls first. Nothing given is written to.
 */
export function drawMasks(weights: readonly Ranked[], { score, structure, amount }: Parts): Tensor[] {
  if (weights.length === 0) return []
  const [{ dtype }] = weights.map(({ weight }) => weight)
  for (const { weight } of weights)
    ensure(weight.dtype === dtype, 'DTYPE_MISMATCH', () => `prune: weights of ${dtype} and ${weight.dtype} cannot be ranked together`)

  const units = weights.map(({ weight }) => structure.units(weight.shape))
  const total = units.reduce((sum, count) => sum + count, 0)
  const untouched = weights.every(({ mask }) => mask === null)
  const open = untouched ? [] : weights.map(({ mask }, i) => (mask === null ? full([units[i]], 1, { dtype }).data : structure.open(mask)))
  const remaining = untouched ? total : open.reduce((sum, array) => sum + onesIn(array), 0)

  // What falls is known to be possible before a random score draws.
  const falling = wholeNumber(`prune: ${describe(amount.name)} of ${remaining} units`, amount.of({ remaining, total }), 0, remaining)
  const scores = weights.map(({ weight }) => structure.rank(checkedScores(score, weight), score))
  const left = units.map((count) => allocate(dtype, count))
  native.pruneSmallest(scores, open, Number(score.magnitude), falling, left)
  return weights.map(({ weight, mask }, i) => structure.fall(weight.shape, mask, left[i]))
}

function onesIn(open: NativeArray): number {
  let ones = 0
  for (let i = 0; i < open.length; i++) ones += open[i]
  return ones
}

function checkedScores(score: Score, weight: Tensor): Tensor {
  const scores = noGrad(() => score.of(weight))
  ensure(
    scores instanceof Tensor && sameShape(scores.shape, weight.shape) && scores.dtype === weight.dtype,
    'SHAPE_MISMATCH',
    () =>
      `prune: the score ${describe(score.name)} gave ${scores instanceof Tensor ? `${scores.dtype} ${formatShape(scores.shape)}` : describe(scores)} for a weight ${weight.dtype} ${formatShape(weight.shape)}`,
  )
  return scores
}
