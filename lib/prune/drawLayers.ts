import { EspalierError, ensure, type NativeArray, native } from '../native/index.js'
import { type Module, maskOf, type NewMask } from '../nn/index.js'
import { full, type Tensor, tensor } from '../tensor/index.js'
import { type Amount, fraction } from './amounts/amount.js'
import { apart } from './amounts/perTensor.js'
import { biasMask } from './biasMask.js'
import { draw, drawInGroups, drawMasks, under } from './drawMasks.js'
import { byParts, candidate, type Layer } from './layer.js'
import { onHost } from './onHost.js'
import type { Action, Regrowth } from './schedules/schedule.js'
import { unseen } from './statistics/unseen.js'

/** What is to become of one layer; nothing is changed yet. */
export interface LayerDraw {
  readonly layer: Layer
  readonly mask: Tensor
  /** 0 at entries that have just returned, 1 elsewhere; null where none could. */
  readonly settled: Tensor | null
  readonly soft: boolean
  readonly share: NonNullable<Layer['share']>
}

/** Draws the masks of layers, each by its action. */
export function drawLayers(layers: readonly Layer[], actionOf: (layer: Layer) => Action | null): LayerDraw[] {
  return byParts(layers.filter((layer) => actionOf(layer) !== null)).flatMap((group) => drawGroup(group, actionOf(group[0]) as Action))
}

function drawGroup(group: readonly Layer[], action: Action): LayerDraw[] {
  const { amount: goal, structure } = group[0]
  const { level, draw: how = 'onward', score = group[0].score, soft = false } = action
  const amount = level === undefined ? goal : atLevel(goal, level, how)
  const candidates = group.map((layer) => candidate(layer, how === 'anew'))
  const drawn = new Map<Layer, LayerDraw>()
  for (const { members, amount: own } of (amount.allocation ?? apart).pools(candidates, amount)) {
    const { masks, asked } = draw(
      members.map((i) => candidates[i]),
      { score, structure, amount: own },
    )
    const share = { asked, layers: members.length }
    for (const [i, member] of members.entries()) {
      const layer = group[member]
      drawn.set(layer, { layer, mask: masks[i], settled: null, soft, share })
    }
  }
  const all = group.map((layer) => drawn.get(layer) as LayerDraw)
  return action.regrow === undefined ? all : all.map((one) => exchanged(one, action.regrow as Regrowth))
}

function atLevel(amount: Amount, level: number, draw: Action['draw']): Amount {
  // Shares of what remains would compound from one level to the next, far beyond the last.
  ensure(
    draw === 'anew' || amount.basis !== 'remaining',
    'INVALID_ARGUMENT',
    () => `Pruner: the levels of the schedule are of the total, but ${amount.name}; say { of: 'total' }`,
  )
  if (amount.at !== undefined) return amount.at(level)
  throw new EspalierError('INVALID_ARGUMENT', `Pruner: the schedule asks for ${level}, but ${amount.name} has no number to change`)
}

/**
 * Some units fall, and as many of the others return: where they are counted in groups (N:M, neurons), as many in each group
 * as fell there, so that it keeps its number. What falls is ranked in the whole layer all the same: a share of a group of
 * four would be none of it, or half.
 */
function exchanged(drawn: LayerDraw, { share, by }: Regrowth): LayerDraw {
  const { layer } = drawn
  const mask = onHost(drawn.mask)
  const { module, lies, score, observer } = layer
  ensure(
    lies.parts === undefined,
    'INVALID_ARGUMENT',
    () => `Pruner: ${lies.name} has no units that could return: what one of its structures took may have fallen with another`,
  )
  const latent = onHost(module.latentWeight('weight'))
  const { shape, dtype } = latent
  const seen = observer?.seen(mask) ?? unseen(mask)
  const structure = { ...lies, groups: undefined }
  const [dropped] = drawMasks([under({ weight: latent, seen }, mask)], { score, structure, amount: fraction(share) })
  const [before, standing] = [mask, dropped].map((one) => lies.open(one))
  // Of what does not stand now all but the highest stay down.
  const fallen = full(shape, 1, { dtype, device: 'cpu' })
  const away = lies.fall(shape, fallen, standing.map((entry: number) => 1 - entry) as typeof standing)
  const groups = lies.groups?.(shape) ?? ([1, standing.length, 1] as const)
  const [had, have, candidates] = [before, standing, lies.open(away)].map((units) => countsIn(units, groups))
  const staying = candidates.map((count, group) => count - Math.min(had[group] - have[group], count))
  const grown = drawInGroups({ weight: latent, mask: away, seen }, { score: by, structure }, groups, staying)
  const [result, settled] = [dropped.copy(), full(shape, 1, { dtype, device: 'cpu' })]
  for (let i = 0; i < result.size; i++)
    if (grown.data[i] !== 0) {
      result.data[i] = 1
      settled.data[i] = Number(mask.data[i] !== 0)
    }
  return { ...drawn, mask: result, settled }
}

/** How many units of each group are not 0. */
function countsIn(units: NativeArray, groups: readonly [outer: number, size: number, inner: number]): Int32Array {
  const counts = new Int32Array(groups[0] * groups[2])
  native.countGroups(units, ...groups, counts)
  return counts
}

/** The masks to set: those of the layers, of layers tied to them, and of biases that fall with their filters. */
export function newMasks(draws: readonly LayerDraw[]): NewMask[] {
  return draws.flatMap(({ layer: { module, tied, gradient, bias }, mask }) =>
    [module, ...tied].flatMap((one): NewMask[] => {
      const common = { module: one, gradient: gradient ?? undefined }
      const ofWeight = { ...common, name: 'weight', mask }
      const ofBias = bias === 'mask' ? biasMask('Pruner', one, mask, null) : null
      return ofBias === null ? [ofWeight] : [ofWeight, { ...common, name: 'bias', mask: ofBias }]
    }),
  )
}

/** Multiplies a parameter by a mask, in place. */
export function multiply(parameter: Tensor, mask: Tensor): void {
  const { storage, device } = parameter
  native.applyMask(storage, tensor(mask, { device }).storage, storage)
}

export const masksOf = (module: Module): [name: string, mask: Tensor][] =>
  ['weight', 'bias'].flatMap((name): [string, Tensor][] => {
    const mask = maskOf(module, name)
    return mask === null ? [] : [[name, mask]]
  })
