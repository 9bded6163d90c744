import { noGrad } from '../autograd/index.js'
import { describe, EspalierError, ensure, type NativeArray, native, wholeNumber } from '../native/index.js'
import { allocate, formatShape, full, sameShape, Tensor } from '../tensor/index.js'
import type { Amount, Units } from './amounts/amount.js'
import type { Score } from './scores/score.js'
import type { Seen } from './statistics/statistic.js'
import { unseen } from './statistics/unseen.js'
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
  /** What was observed of it. Absent: nothing. */
  readonly seen?: Seen
  /** The structure as it lies in this weight. Absent: as in all. */
  readonly structure?: Structure
}

/** Masks drawn, and how much was asked for: units that should have fallen by now, those that fell before among them. */
export interface Drawn {
  readonly masks: Tensor[]
  readonly asked: number | null
}

/**
 * The masks of several weights after the amount of their lowest-scored units fell, all taken together;
 * of equal scores the lower index, in the earlier weight, falls first. Nothing given is written to.
 */
export const drawMasks = (weights: readonly Ranked[], parts: Parts): Tensor[] => draw(weights, parts).masks

/** `drawMasks`, with what was asked for. */
export function draw(weights: readonly Ranked[], { score, structure, amount }: Parts): Drawn {
  if (weights.length === 0) return { masks: [], asked: 0 }
  if (structure.parts !== undefined) return drawInTurn(weights, { score, structure, amount })
  const structures = weights.map((ranked) => ranked.structure ?? structure)
  const [{ dtype }] = weights.map(({ weight }) => weight)
  for (const { weight } of weights)
    ensure(weight.dtype === dtype, 'DTYPE_MISMATCH', () => `prune: weights of ${dtype} and ${weight.dtype} cannot be ranked together`)

  const units = weights.map(({ weight }, i) => structures[i].units(weight.shape))
  const total = units.reduce((sum, count) => sum + count, 0)
  const untouched = weights.every(({ mask }) => mask === null)
  const open = untouched ? [] : weights.map(({ mask }, i) => (mask === null ? full([units[i]], 1, { dtype }).data : structures[i].open(mask)))
  let made: NativeArray[] | undefined
  const ranks = (): NativeArray[] => {
    made ??= weights.map(({ weight, mask, seen }, i) => structures[i].rank(scoresOf(score, weight, seen ?? unseen(mask)), score))
    return made
  }
  const left = units.map((count) => allocate(dtype, count))

  let asked: number
  if (structure.groups === undefined) {
    const remaining = untouched ? total : open.reduce((sum, array) => sum + onesIn(array), 0)
    // What falls is known to be possible before a random score draws.
    const falling = fallingOf(amount, unitsFor(ranks, open, score, remaining, total))
    native.pruneSmallest(ranks(), open, Number(score.magnitude), falling, left)
    asked = total - remaining + falling
  } else {
    asked = 0
    for (const [i, { weight }] of weights.entries())
      asked += drawGroups(ranks()[i], untouched ? null : open[i], structures[i].groups!(weight.shape), score, amount, left[i])
  }
  return { masks: weights.map(({ weight, mask }, i) => structures[i].fall(weight.shape, mask, left[i])), asked }
}

/** Several structures, each acting on what those before it left. Their units are of different kinds, so that nothing was asked in any one. */
function drawInTurn(weights: readonly Ranked[], { score, structure, amount }: Parts): Drawn {
  const last = structure.parts!.reduce<readonly Ranked[]>((sofar, part, p) => {
    const here = sofar.map((ranked, i) => ({ ...ranked, structure: weights[i].structure?.parts?.[p].structure }))
    const { masks } = draw(here, { score, structure: part.structure, amount: part.amount ?? part.structure.amount ?? amount })
    return here.map((ranked, i) => under(ranked, masks[i]))
  }, weights)
  return { masks: last.map(({ mask }) => mask!), asked: null }
}

/** A weight under a later mask. */
export function under({ weight, seen }: Ranked, mask: Tensor): Ranked {
  const data = allocate(weight.dtype, weight.size)
  native.applyMask(weight.data, mask.data, data)
  return { weight: new Tensor(data, weight.shape, weight.dtype), mask, seen }
}

/** Draws each group for itself; gives the units asked for in all. */
function drawGroups(
  ranks: NativeArray,
  open: NativeArray | null,
  [outer, size, inner]: readonly [number, number, number],
  { magnitude }: Score,
  amount: Amount,
  left: NativeArray,
): number {
  let asked = 0
  for (let o = 0; o < outer; o++)
    for (let n = 0; n < inner; n++) {
      const places = Array.from({ length: size }, (_, i) => (o * size + i) * inner + n)
      const standing = places.filter((place) => open === null || open[place] !== 0)
      const value = (place: number): number => (magnitude ? Math.abs(ranks[place]) : ranks[place])
      ensure(
        standing.every((place) => !Number.isNaN(value(place))),
        'INVALID_ARGUMENT',
        () => 'prune: scores hold a NaN',
      )
      const order = standing.toSorted((a, b) => value(a) - value(b) || a - b)
      const falling = fallingOf(amount, {
        remaining: standing.length,
        total: size,
        atMost: (threshold, { strictly = false } = {}) => order.filter((place) => (strictly ? value(place) < threshold : value(place) <= threshold)).length,
        lowest: (k) => value(order[k - 1]),
      })
      asked += size - standing.length + falling
      for (const place of places) left[place] = open?.[place] ?? 1
      for (const place of order.slice(0, falling)) left[place] = 0
    }
  return asked
}

function fallingOf(amount: Amount, units: Units): number {
  return wholeNumber(`prune: ${describe(amount.name)} of ${units.remaining} units`, amount.of(units), 0, units.remaining)
}

function unitsFor(ranks: () => NativeArray[], open: NativeArray[], { magnitude }: Score, remaining: number, total: number): Units {
  return {
    remaining,
    total,
    atMost(threshold, { strictly = false } = {}) {
      let count = 0
      for (const [i, array] of ranks().entries())
        for (let j = 0; j < array.length; j++) {
          if (open.length > 0 && open[i][j] === 0) continue
          const value = magnitude ? Math.abs(array[j]) : array[j]
          if (strictly ? value < threshold : value <= threshold) count++
        }
      return count
    },
    lowest(k) {
      wholeNumber('lowest: k', k, 1, remaining)
      return native.pruneSmallest(
        ranks(),
        open,
        Number(magnitude),
        k,
        ranks().map((array) => array.slice()),
      )
    },
  }
}

function onesIn(open: NativeArray): number {
  let ones = 0
  for (let i = 0; i < open.length; i++) ones += open[i]
  return ones
}

function scoresOf(score: Score, weight: Tensor, seen: Seen): Tensor {
  const scores = noGrad(() => score.of(weight, seen))
  if (scores instanceof Tensor && sameShape(scores.shape, weight.shape) && scores.dtype === weight.dtype) return scores
  const came = scores instanceof Tensor ? `${scores.dtype} ${formatShape(scores.shape)}` : describe(scores)
  throw new EspalierError('SHAPE_MISMATCH', `prune: the score ${describe(score.name)} gave ${came} for a weight ${weight.dtype} ${formatShape(weight.shape)}`)
}
