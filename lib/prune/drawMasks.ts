import { noGrad } from '../autograd/index.js'
import { Binary, type Device, describe, EspalierError, ensure, native, type Storage } from '../native/index.js'
import { allocate, allocateStorage, fill, formatShape, isHalf, sameShape, Tensor, unset } from '../tensor/index.js'
import type { Amount } from './amounts/amount.js'
import { kept } from './amounts/atLeast.js'
import { fallingOf } from './amounts/fallingOf.js'
import { drawGroups } from './drawGroups.js'
import { onHost } from './onHost.js'
import { itself, type Score } from './scores/score.js'
import type { Seen } from './statistics/statistic.js'
import { unseen } from './statistics/unseen.js'
import { singleEntries, tellsEntries } from './structures/element.js'
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
  /** The weight before its mask, where `weight` is their product: enough for scores of single entries by themselves. */
  readonly latent?: Tensor
  /** What was observed of it. Absent: nothing. */
  readonly seen?: Seen
  /** The structure as it lies in this weight. Absent: as in all. */
  readonly structure?: Structure
  /** The weight before its mask and the mask themselves, where they lie on a GPU; the others are copies on the CPU. */
  readonly onGpu?: { readonly latent: Tensor; readonly mask: Tensor | null }
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
export function draw(given: readonly Ranked[], { score, structure, amount }: Parts): Drawn {
  if (given.length === 0) return { masks: [], asked: 0 }
  if (structure.parts !== undefined) return drawInTurn(given, { score, structure, amount })
  const structures = given.map((ranked) => ranked.structure ?? structure)
  const { weights, device, ways } = placed(given, structures, score)
  // Where single entries are ranked by themselves, those that fell are passed over: no product with the mask is needed.
  const values = (i: number): Tensor => (score.entrywise && structures[i].entries ? (weights[i].latent ?? weights[i].weight) : weights[i].weight)
  // (Not taken apart in parameters: that would make the product.)
  const shapes = weights.map((one) => (one.latent ?? one.weight).shape)
  const [dtype, ...dtypes] = weights.map((one) => (one.latent ?? one.weight).dtype)
  for (const other of dtypes) ensure(other === dtype, 'DTYPE_MISMATCH', () => `prune: weights of ${dtype} and ${other} cannot be ranked together`)

  const units = shapes.map((shape, i) => structures[i].units(shape))
  const total = units.reduce((sum, count) => sum + count, 0)
  const untouched = weights.every(({ mask }) => mask === null)
  const open = untouched ? [] : weights.map(({ mask }, i) => (mask === null ? fill(allocateStorage(device, dtype, units[i]), 1) : ways[i].open(mask)))
  let made: Storage[] | undefined
  const ranks = (): Storage[] => {
    made ??= weights.map(({ mask, seen }, i) => ways[i].rank(scoresOf(score, values(i), seen ?? unseen(mask)), score))
    return made
  }
  const left = units.map((count) => allocateStorage(device, dtype, count))

  let asked: number
  if (structure.groups === undefined) {
    const standing = untouched ? units : open.map((array) => native.countOnes(array))
    const remaining = standing.reduce((sum, count) => sum + count, 0)
    // What falls is known to be possible before a random score draws.
    const falling = fallingOf(amount, { remaining, total, magnitude: score.magnitude, scores: () => ({ ranks: ranks(), open }) })
    asked = total - remaining + falling
    const safe = amount.minimum === undefined ? [] : units.map((count, i) => Math.min(standing[i], kept(amount, count)))
    if (safe.some((count) => count > 0)) pruneOthers(ranks(), open, score, falling, safe, standing, left)
    else native.pruneSmallest(ranks(), open, Number(score.magnitude), falling, left)
  } else {
    asked = 0
    for (const [i, shape] of shapes.entries()) {
      const grouped = { ranks: ranks()[i], magnitude: score.magnitude, open: untouched ? null : open[i], groups: structures[i].groups!(shape) }
      asked += drawGroups(grouped, amount, left[i])
    }
  }
  return { masks: weights.map(({ mask }, i) => ways[i].fall(shapes[i], mask, left[i], open[i])), asked }
}

/** What `draw` asks of a structure: of arrays of one place, the CPU's or a GPU's. */
interface Way {
  open(mask: Tensor): Storage
  rank(scores: Tensor, score: Score): Storage
  fall(shape: Tensor['shape'], mask: Tensor | null, left: Storage, open?: Storage): Tensor
}

/**
 * The weights where they are ranked. On their GPU where single entries are ranked by their own values, which gives the
 * masks of the CPU there, bit by bit. Else on the CPU: norms of slices and sums of statistics, made in another order,
 * would now and then rank two units the other way.
 */
function placed(
  weights: readonly Ranked[],
  structures: readonly Structure[],
  score: Score,
): { weights: readonly Ranked[]; device: Device; ways: readonly Way[] } {
  const device = weights[0].onGpu?.latent.device
  const there = weights.flatMap(({ onGpu }, i) => {
    if (onGpu === undefined || onGpu.latent.device !== device || isHalf(onGpu.latent.dtype) || !tellsEntries(structures[i])) return []
    return [{ weight: onGpu.latent, ...onGpu }]
  })
  if (device === undefined || score.of !== itself || there.length < weights.length) return { weights, device: 'cpu', ways: structures }
  return { weights: there, device, ways: there.map(() => singleEntries) }
}

/**
 * A weight's mask after so many of the lowest-scored units of each group fell: `falling` has a number for each of `groups`,
 * [outer, size, inner] as `Structure.groups` gives them.
 */
export function drawInGroups(
  { weight, mask, seen }: Ranked & { readonly mask: Tensor },
  { score, structure }: Omit<Parts, 'amount'>,
  groups: readonly [outer: number, size: number, inner: number],
  falling: Int32Array,
): Tensor {
  const open = structure.open(mask)
  const left = allocate(weight.dtype, open.length)
  const ranks = structure.rank(scoresOf(score, weight, seen ?? unseen(mask)), score)
  // (One group of all is selected by all threads.)
  if (falling.length === 1) native.pruneSmallest([ranks], [open], Number(score.magnitude), falling[0], [left])
  else native.pruneGroups(ranks, open, Number(score.magnitude), ...groups, falling, left)
  return structure.fall(weight.shape, mask, left, open)
}

/** `native.pruneSmallest` with the `safe` highest of each array out of play. */
function pruneOthers(
  ranks: readonly Storage[],
  open: readonly Storage[],
  { magnitude }: Score,
  falling: number,
  safe: readonly number[],
  standing: readonly number[],
  left: readonly Storage[],
): void {
  const spared = ranks.map((array, i) => {
    const highest = unset(array)
    native.pruneSmallest([array], open.length === 0 ? [] : [open[i]], Number(magnitude), standing[i] - safe[i], [highest])
    return highest
  })
  const inPlay = spared.map((array, i) => {
    const rest = unset(array)
    native.binaryForward(Binary.sub, open[i] ?? fill(unset(array), 1), array, rest)
    return rest
  })
  const most = standing.reduce((sum, count, i) => sum + count - safe[i], 0)
  native.pruneSmallest(ranks, inPlay, Number(magnitude), Math.min(falling, most), left)
  for (const [i, array] of left.entries()) native.accumulate(spared[i], array)
}

/** Several structures, each acting on what those before it left. Their units are of different kinds, so that nothing was asked in any one. */
function drawInTurn(weights: readonly Ranked[], { score, structure, amount }: Parts): Drawn {
  const last = structure.parts!.reduce<readonly Ranked[]>((sofar, part, p) => {
    const here = sofar.map(({ weight, mask, seen }, i) => ({ weight, mask, seen, structure: weights[i].structure?.parts?.[p].structure }))
    const { masks } = draw(here, { score, structure: part.structure, amount: part.amount ?? part.structure.amount ?? amount })
    return here.map((ranked, i) => under(ranked, masks[i]))
  }, weights)
  return { masks: last.map(({ mask }) => mask!), asked: null }
}

/**
 * A weight as it is learned and its mask, where they lie or in copies on the CPU. Copies and their product are made
 * when they are asked for.
 */
export function ranked(latent: Tensor, mask: Tensor | null): Ranked & { readonly latent: Tensor } {
  let here: (Ranked & { readonly latent: Tensor }) | undefined
  const copied = (): Ranked & { readonly latent: Tensor } => {
    here ??= mask === null ? { weight: onHost(latent), latent: onHost(latent), mask } : under({ weight: onHost(latent) }, onHost(mask))
    return here
  }
  return {
    ...(latent.device === 'cpu' ? {} : { onGpu: { latent, mask } }),
    get weight() {
      return copied().weight
    },
    get mask() {
      return mask && copied().mask
    },
    get latent() {
      return copied().latent
    },
  }
}

/** A weight under a mask; their product is made when it is asked for. */
export function under({ weight, seen }: Pick<Ranked, 'weight' | 'seen'>, mask: Tensor): Ranked & { readonly latent: Tensor } {
  let product: Tensor | undefined
  return {
    mask,
    seen,
    latent: weight,
    get weight() {
      product ??= times(weight, mask)
      return product
    },
  }
}

function times({ data, shape, dtype, size }: Tensor, mask: Tensor): Tensor {
  const product = allocate(dtype, size)
  native.applyMask(data, mask.data, product)
  return new Tensor(product, shape, dtype)
}

function scoresOf(score: Score, weight: Tensor, seen: Seen): Tensor {
  const scores = noGrad(() => score.of(weight, seen))
  // (Given scores may lie anywhere.)
  if (scores instanceof Tensor && sameShape(scores.shape, weight.shape) && scores.dtype === weight.dtype)
    return weight.device === 'cpu' ? onHost(scores) : scores
  const came = scores instanceof Tensor ? `${scores.dtype} ${formatShape(scores.shape)}` : describe(scores)
  throw new EspalierError('SHAPE_MISMATCH', `prune: the score ${describe(score.name)} gave ${came} for a weight ${weight.dtype} ${formatShape(weight.shape)}`)
}
