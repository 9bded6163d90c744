import { describe, EspalierError, ensure, type NativeArray, wholeNumber } from '../native/index.js'
import { type MaskGradient, type Module, maskedGradient, maskOf, type NewMask, removeMask, setMasks } from '../nn/index.js'
import type { Tensor } from '../tensor/index.js'
import type { Candidate } from './amounts/allocation.js'
import type { Amount } from './amounts/amount.js'
import { amountIn } from './amounts/global.js'
import { apart } from './amounts/perTensor.js'
import type { BiasRule } from './biasMask.js'
import { draw } from './drawMasks.js'
import type { Gradient } from './gradients/gradient.js'
import { type Matcher, matching, matchingAny } from './match.js'
import type { PrunedLayer, PruneReport } from './report.js'
import { oneShot } from './schedules/oneShot.js'
import type { Action, Moment, Schedule } from './schedules/schedule.js'
import { l1 } from './scores/l1.js'
import type { Score } from './scores/score.js'
import { unseen } from './statistics/unseen.js'
import { element } from './structures/element.js'
import type { Structure } from './structures/structure.js'
import { checkedModule, checkedOptions, weightOf } from './weightOf.js'

/** The parts that may differ from layer to layer. */
export interface LayerParts {
  /** Default `l1`. */
  score?: Score
  /** Default `element`. */
  structure?: Structure
  /** How much: a number below 1 is a share of the total, a whole one a count, of each layer; see `global`, `erk`, … Default: the structure's own. */
  amount?: number | Amount
  /** What masked weights learn. Default: nothing. */
  gradient?: Gradient
  /** Whether the bias of a filter without weights falls with it. Default 'keep'. */
  bias?: BiasRule
}

/** Other parts for some layers. */
export interface Override extends LayerParts {
  /** Which layers. The last override that takes a layer decides. */
  match: Matcher
}

/** What a pruner uses of an optimiser. */
export interface MaskedOptimizer {
  setMask(parameter: Tensor, mask: Tensor | null, options?: { freeze?: boolean }): void
  readonly state: ReadonlyMap<Tensor, { readonly slots: Readonly<Record<string, Tensor>> }>
}

export interface PrunerOptions extends LayerParts {
  /** When. Default: once, at the first step. */
  schedule?: Schedule
  /** Layers to prune. Default: every one with a `weight` of two or more dimensions. */
  include?: Matcher | readonly Matcher[]
  /** Layers to leave alone. */
  exclude?: Matcher | readonly Matcher[]
  overrides?: readonly Override[]
  /** Takes the masks into its update: with masked gradients a fallen weight and its running means then stay as they are, decay included. */
  optimizer?: MaskedOptimizer
}

interface Layer {
  readonly name: string
  readonly module: Module
  readonly parts: {
    readonly score: Score
    readonly structure: Structure
    readonly lies: Structure
    readonly amount: Amount
    readonly gradient: Gradient
    readonly bias: BiasRule
  }
  asked: number | null
}

/** What `fit` tells its callbacks, as far as a pruner listens. */
interface Training {
  readonly samples?: number
}

/**
 * Prunes a model by five parts: a score, a structure, an amount, a schedule and a gradient rule.
 *
 * By hand, call `step()` after each step of the optimiser (or once an epoch, as the schedule counts). In
 * `fit` it is a callback. Each act is all or nothing: an error leaves every layer as it was.
 *
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
 * const pruner = new prune.Pruner(model, { amount: prune.global(0.9), exclude: '2' })
 * pruner.step()
 * pruner.report().total.sparsity // 0.9
 * ```
 */
export class Pruner {
  readonly #layers: readonly Layer[]
  readonly #schedule: Schedule
  readonly #optimizer: MaskedOptimizer | undefined
  #moment: Moment = { tick: 0, samples: 0, acts: 0 }
  #started = false

  constructor(model: Module, options: PrunerOptions) {
    checkedModule('Pruner', model)
    const { schedule = oneShot(), include = () => true, exclude = [], overrides = [], optimizer, ...common } = checkedOptions('Pruner', options)
    const [included, excluded] = [matchingAny('Pruner: include', include, model), matchingAny('Pruner: exclude', exclude, model)]
    const special = overrides.map(({ match, ...parts }) => ({ matches: matching('Pruner: overrides', match, model), parts }))
    this.#schedule = schedule
    this.#optimizer = optimizer
    this.#layers = [...model.namedModules()]
      .filter(([name, module]) => isPrunable(module) && included(name, module) && !excluded(name, module))
      .map(([name, module]) => {
        const own = special.findLast(({ matches }) => matches(name, module))?.parts ?? {}
        return { name, module, parts: completed(module, { ...common, ...own }), asked: null }
      })
    ensure(this.#layers.length > 0, 'INVALID_ARGUMENT', () => 'Pruner: the model has no layer to prune')
  }

  /** Where the training stands. */
  get moment(): Moment {
    return this.#moment
  }

  /** What the schedule wants before training. `step` and `fit` call it first if nobody has. */
  start(): PruneReport | null {
    if (this.#started) return null
    const report = this.#act(this.#moment)
    this.#started = true
    return report
  }

  /**
   * One tick: after an optimiser's step (or an epoch, as the schedule counts). Gives a report where masks were
   * drawn, else null.
   * @param options.samples samples trained on since the last tick; for schedules that count them
   */
  step({ samples = 0 }: { samples?: number } = {}): PruneReport | null {
    wholeNumber('Pruner.step: samples', samples)
    const first = this.start()
    const { tick, samples: before, acts } = this.#moment
    const then = { tick: tick + 1, samples: before + samples, acts }
    const report = this.#act(then)
    return report ?? first
  }

  /** @internal As a callback of `fit`. */
  onEpochStart(): void {
    this.start()
  }
  /** @internal */
  onStepEnd({ samples }: Training): void {
    if (this.#schedule.every === 'step') this.step({ samples })
  }
  /** @internal */
  onEpochEnd(_: Training): void {
    if (this.#schedule.every === 'epoch') this.step()
  }

  /** Asked and achieved, by layer and in total. */
  report(): PruneReport {
    const layers = this.#layers.map(describeLayer)
    const sum = (of: (layer: PrunedLayer) => number): number => layers.reduce((total, layer) => total + of(layer), 0)
    const [weights, zeros] = [sum((layer) => layer.weights), sum((layer) => layer.zeros)]
    const total = {
      units: sum((layer) => layer.units),
      asked: layers.some(({ asked }) => asked === null) ? null : sum((layer) => layer.asked!),
      fallen: sum((layer) => layer.fallen),
      weights,
      zeros,
      sparsity: weights === 0 ? 0 : zeros / weights,
      dead: sum((layer) => layer.dead),
      emitting: sum((layer) => layer.emitting),
    }
    const message = `${zeros} of ${weights} weights in ${layers.length} layers pruned`
    return { layers, total, warnings: [], message }
  }

  /** Takes every mask off: the zeros become ordinary weights. */
  remove(): void {
    for (const { module } of this.#layers)
      for (const name of ['weight', 'bias']) if (isParameter(module, name) && maskOf(module, name) !== null) removeMask(module, name)
  }

  #act(moment: Moment): PruneReport | null {
    const actions = new Map<Amount, Action | null>()
    for (const { parts } of this.#layers) if (!actions.has(parts.amount)) actions.set(parts.amount, this.#schedule.at(moment, parts.amount.value ?? Number.NaN))
    const acting = this.#layers.filter(({ parts }) => actions.get(parts.amount) !== null)
    if (acting.length === 0) {
      this.#moment = moment
      return null
    }
    const masks: NewMask[] = []
    for (const group of grouped(acting)) {
      const { score, structure, amount: goal, gradient } = group[0].parts
      const { level, draw: how = 'onward' } = actions.get(goal)!
      const amount = level === undefined ? goal : at(goal, level)
      const candidates = group.map((layer) => candidate(layer, how === 'anew'))
      for (const { members, amount: share } of (amount.allocation ?? apart).pools(candidates, amount)) {
        const chosen = members.map((i) => candidates[i])
        const drawn = draw(chosen, { score, structure, amount: share })
        for (const [i, member] of members.entries()) {
          masks.push({ module: group[member].module, name: 'weight', mask: drawn.masks[i], gradient: gradient as MaskGradient })
          group[member].asked = members.length === 1 ? drawn.asked : null
        }
      }
    }
    setMasks(masks)
    for (const { module } of masks) this.#optimizer?.setMask(module.latentWeight('weight'), maskOf(module, 'weight'))
    this.#moment = { ...moment, acts: moment.acts + 1 }
    return this.report()
  }
}

const isParameter = (module: Module, name: string): boolean => [...module.ownParameters()].some(([own]) => own === module.latentName(name))

const isPrunable = (module: Module): boolean => isParameter(module, 'weight') && module.latentWeight('weight').rank >= 2

function completed(module: Module, { score = l1, structure = element, amount, gradient = maskedGradient, bias = 'keep' }: LayerParts): Layer['parts'] {
  ensure(typeof score?.of === 'function', 'INVALID_ARGUMENT', () => `Pruner: the score is ${describe(score)}, expected one such as l1`)
  ensure(typeof structure?.units === 'function', 'INVALID_ARGUMENT', () => `Pruner: the structure is ${describe(structure)}, expected one such as element`)
  const chosen = amount ?? structure.amount
  if (chosen === undefined) throw new EspalierError('INVALID_ARGUMENT', `Pruner: an amount is missing; the structure ${structure.name} has none of its own`)
  return { score, structure, lies: structure.on?.(module) ?? structure, amount: amountIn(chosen), gradient, bias }
}

function at(amount: Amount, level: number): Amount {
  if (amount.at !== undefined) return amount.at(level)
  throw new EspalierError('INVALID_ARGUMENT', `Pruner: the schedule asks for ${level}, but ${amount.name} has no number to change`)
}

/** Layers whose weights may be ranked together: those of the same parts. */
function grouped(layers: readonly Layer[]): Layer[][] {
  const groups: Layer[][] = []
  for (const layer of layers) {
    const { score, structure, amount, gradient } = layer.parts
    const group = groups.find(([{ parts }]) => parts.score === score && parts.structure === structure && parts.amount === amount && parts.gradient === gradient)
    if (group === undefined) groups.push([layer])
    else group.push(layer)
  }
  return groups
}

function candidate({ name, module, parts: { lies: structure } }: Layer, anew: boolean): Candidate {
  const latent = module.latentWeight('weight')
  const { weight, mask } = anew ? { weight: latent, mask: null } : weightOf('Pruner', module, 'weight')
  const units = structure.units(latent.shape)
  const remaining = mask === null ? units : nonZero(structure.open(mask))
  return { name, module, structure, weight, mask, units, remaining, seen: unseen(mask) }
}

function describeLayer({ name, module, parts: { lies: structure }, asked }: Layer): PrunedLayer {
  const mask = maskOf(module, 'weight')
  const { shape, size } = module.latentWeight('weight')
  const units = structure.units(shape)
  const open = mask === null ? units : nonZero(structure.open(mask))
  const zeros = mask === null ? 0 : size - nonZero(mask.data)
  return {
    name,
    structure: structure.name,
    units,
    asked,
    fallen: units - open,
    weights: size,
    zeros,
    sparsity: size === 0 ? 0 : zeros / size,
    dead: 0,
    emitting: 0,
  }
}

function nonZero(array: NativeArray): number {
  let count = 0
  for (let i = 0; i < array.length; i++) count += Number(array[i] !== 0)
  return count
}
