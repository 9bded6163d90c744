import { describe, EspalierError, ensure, native, type Storage } from '../native/index.js'
import { type MaskGradient, type Module, maskedGradient, maskOf } from '../nn/index.js'
import { isFloat, type Tensor } from '../tensor/index.js'
import type { Candidate } from './amounts/allocation.js'
import { type Amount, count } from './amounts/amount.js'
import { amountIn } from './amounts/global.js'
import { type BiasRule, checkedBiasRule } from './biasMask.js'
import { ranked } from './drawMasks.js'
import type { Gradient, Reparametrisation } from './gradients/gradient.js'
import { type Matcher, matching, matchingAny } from './match.js'
import { onHost } from './onHost.js'
import { l1 } from './scores/l1.js'
import type { Score } from './scores/score.js'
import { type ScoreLike, scoreOf } from './scores/scoreOf.js'
import type { Observer } from './statistics/observer.js'
import { unseen } from './statistics/unseen.js'
import { element, singleEntries, tellsEntries } from './structures/element.js'
import type { Structure } from './structures/structure.js'

/** The parts that may differ from layer to layer. */
export interface LayerParts {
  /** A score, or a function of the weight. Default `l1`. */
  score?: ScoreLike
  /** Default `element`. */
  structure?: Structure
  /** How much: a number below 1 is a share of the total, a whole one a count, of each layer; see `global`, `erk`, … Default: the structure's own. */
  amount?: number | Amount
  /** What fallen weights learn. Default: nothing. */
  gradient?: Gradient
  /** Whether the bias of a filter without weights falls with it. Default 'keep'. */
  bias?: BiasRule
}

/** Other parts for some layers. */
export interface Override extends LayerParts {
  /** Which layers. The last override that takes a layer decides. */
  match: Matcher
}

/** One weight that a pruner looks after. */
export interface Layer {
  readonly name: string
  readonly module: Module
  /** Other layers that use the same parameter: they share its mask. */
  readonly tied: readonly Module[]
  readonly score: Score
  readonly structure: Structure
  /** The structure as it lies in this weight. */
  readonly lies: Structure
  readonly amount: Amount
  /** The rule for its mask; null where something else stands in the mask's place. */
  readonly gradient: MaskGradient | null
  readonly reparametrisation: Reparametrisation | null
  readonly bias: BiasRule
  observer?: Observer
  /** What was asked of it, with how many other layers together. */
  share?: { readonly asked: number | null; readonly layers: number }
}

/** Which layers, with which parts. */
export interface LayerChoice extends LayerParts {
  include?: Matcher | readonly Matcher[]
  exclude?: Matcher | readonly Matcher[]
  overrides?: readonly Override[]
}

/** The layers of a model that are chosen, each parameter once. */
export function chosenLayers(model: Module, { include, exclude = [], overrides = [], ...common }: LayerChoice): Layer[] {
  const included = include === undefined ? () => true : matchingAny('Pruner: include', include, model)
  const excluded = matchingAny('Pruner: exclude', exclude, model)
  ensure(Array.isArray(overrides), 'INVALID_ARGUMENT', () => `Pruner: overrides is ${describe(overrides)}, expected a list`)
  const special = overrides.map(({ match, ...parts }: Override) => ({ matches: matching('Pruner: overrides', match, model), parts }))
  const made = partsMaker()
  const byParameter = new Map<Tensor, Layer & { tied: Module[] }>()
  for (const [name, module] of model.namedModules()) {
    if (!isPrunable(module) || !included(name, module) || excluded(name, module)) continue
    const latent = module.latentWeight('weight')
    const known = byParameter.get(latent)
    if (known !== undefined) {
      known.tied.push(module)
      continue
    }
    const own: LayerParts = special.findLast(({ matches }) => matches(name, module))?.parts ?? {}
    const parts = made({ ...common, ...own })
    byParameter.set(latent, { name, module, tied: [], ...parts, lies: parts.structure.on?.(module) ?? parts.structure })
  }
  ensure(byParameter.size > 0, 'INVALID_ARGUMENT', () => 'Pruner: there is no layer to prune: none of those chosen has a weight of two or more dimensions')
  return [...byParameter.values()]
}

function isPrunable(module: Module): boolean {
  if (![...module.ownParameters()].some(([own]) => own === module.latentName('weight'))) return false
  const { rank, dtype } = module.latentWeight('weight')
  return rank >= 2 && isFloat(dtype)
}

type Parts = Pick<Layer, 'score' | 'structure' | 'amount' | 'gradient' | 'reparametrisation' | 'bias'>

/** Completes parts and checks them. What is one object (or number) among the options stays one for all layers. */
function partsMaker(): (parts: LayerParts) => Parts {
  const remembered = <Key, Value>(make: (key: Key) => Value): ((key: Key) => Value) => {
    const known = new Map<Key, Value>()
    return (key) => {
      if (!known.has(key)) known.set(key, make(key))
      return known.get(key) as Value
    }
  }
  const scores = remembered((score: ScoreLike) => scoreOf('Pruner', score))
  const amounts = remembered((amount: number | Amount) => amountIn(amount))
  const nothing = count(0)
  return ({ score = l1, structure = element, amount, gradient = maskedGradient, bias = 'keep' }) => {
    ensure(typeof structure?.units === 'function', 'INVALID_ARGUMENT', () => `Pruner: the structure is ${describe(structure)}, expected one such as element`)
    const masks = typeof gradient === 'function'
    ensure(
      masks || typeof gradient?.attach === 'function',
      'INVALID_ARGUMENT',
      () => `Pruner: the gradient rule is ${describe(gradient)}, expected one such as straightThrough`,
    )
    const chosen = amount ?? structure.amount ?? (masks ? undefined : nothing)
    if (chosen === undefined) throw new EspalierError('INVALID_ARGUMENT', `Pruner: an amount is missing; the structure ${structure.name} has none of its own`)
    return {
      score: scores(score),
      structure,
      amount: amounts(chosen),
      gradient: masks ? gradient : null,
      reparametrisation: masks ? null : gradient,
      bias: checkedBiasRule('Pruner', bias),
    }
  }
}

/** Layers whose weights may be ranked together: those of the same parts. */
export function byParts(layers: readonly Layer[]): Layer[][] {
  const groups: Layer[][] = []
  for (const layer of layers) {
    const group = groups.find(
      ([{ score, structure, amount, gradient }]) =>
        score === layer.score && structure === layer.structure && amount === layer.amount && gradient === layer.gradient,
    )
    if (group === undefined) groups.push([layer])
    else group.push(layer)
  }
  return groups
}

/** A layer's weight as the parts see it; `anew` as if nothing had fallen. */
export function candidate({ name, module, lies, observer }: Layer, anew: boolean): Candidate {
  const latent = module.latentWeight('weight')
  const mask = anew ? null : maskOf(module, 'weight')
  const units = lies.units(latent.shape)
  const own = ranked(latent, mask)
  return {
    name,
    module,
    structure: lies,
    units,
    onGpu: own.onGpu,
    // Made when they are asked for: each costs a pass over the weight, or a copy of it.
    get mask() {
      return own.mask
    },
    get seen() {
      return observer?.seen(own.mask) ?? unseen(own.mask)
    },
    get latent() {
      return own.latent
    },
    get weight() {
      return own.weight
    },
    get remaining() {
      return mask === null ? units : standingUnits(lies, mask)
    },
  }
}

/** The units that may still fall under a mask, wherever it lies. */
export const standingUnits = (structure: Structure, mask: Tensor): number =>
  onesIn(tellsEntries(structure) ? singleEntries.open(mask) : structure.open(onHost(mask)))

/** The ones of an array of zeros and ones; of any other, its entries that are not 0. */
export function onesIn(array: Storage): number {
  const ones = native.countOnes(array)
  return ones >= 0 ? ones : array.length - native.countAtMost([array], [], 1, 0, 0)
}
