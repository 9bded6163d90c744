import { noGrad } from '../autograd/index.js'
import { describe, ensure, wholeNumber } from '../native/index.js'
import { type Module, maskedGradient, maskOf, type Removal, removeMask, setMasks } from '../nn/index.js'
import { assign, defaultGenerator, type Generator, sameShape, type Tensor } from '../tensor/index.js'
import type { Amount } from './amounts/amount.js'
import { latentBias } from './biasMask.js'
import { drawLayers, type LayerDraw, masksOf, multiply, newMasks } from './drawLayers.js'
import { chosenLayers, type Layer, type LayerParts, type Override } from './layer.js'
import type { Matcher } from './match.js'
import { checkedState, type PrunerState, savedState } from './prunerState.js'
import { type PruneReport, reportOn } from './report.js'
import { oneShot } from './schedules/oneShot.js'
import type { Action, Moment, Schedule } from './schedules/schedule.js'
import type { Score } from './scores/score.js'
import { hessianDiagonals, type ProbeOptions } from './statistics/hessianDiagonals.js'
import { Observer } from './statistics/observer.js'
import { checkedModule, checkedOptions } from './weightOf.js'

/** What a pruner uses of an optimiser. */
export interface MaskedOptimizer {
  setMask(parameter: Tensor, mask: Tensor | null, options?: { freeze?: boolean }): void
  /** @internal Running means by parameter: what returns loses its own. */
  readonly state?: ReadonlyMap<Tensor, { readonly slots: Readonly<Record<string, Tensor>> }>
}

export interface PrunerOptions extends LayerParts {
  /** When. Default: once, before training. */
  schedule?: Schedule
  /** Layers to prune; a name stands for all below it. Default: every one with a `weight` of two or more dimensions. */
  include?: Matcher | readonly Matcher[]
  /** Layers to leave alone. */
  exclude?: Matcher | readonly Matcher[]
  overrides?: readonly Override[]
  /**
   * The optimiser of these weights: it takes the masks into its update. Where fallen weights learn nothing they
   * and their running means then stay as they are, decay included; those that return start without a past.
   */
  optimizer?: MaskedOptimizer
}

/** What `fit` tells its callbacks, as far as a pruner listens. */
export interface Training {
  readonly samples?: number
}

/**
 * Prunes a model by five parts: a score, a structure, an amount, a schedule and a gradient rule.
 *
 * By hand, call `step()` after each step of the optimiser (or once an epoch, as the schedule counts). In
 * `fit` it is a callback. Each act is all or nothing: an error leaves every layer as it was. Current weights
 * are ranked; of equal scores the lower index, in the earlier layer, falls first.
 *
 * Masks are buffers of their layers, so that clones and saved states carry them. To go on later, save the
 * pruner's `stateDict` beside the model's, make the same pruner on the new model, load the pruner's state,
 * which puts the masks on, and then the model's.
 *
 * @throws EspalierError INVALID_ARGUMENT for a model without a layer to prune, a name that no module has, a part
 *   that is none, or no amount; when it acts, for an amount out of range or NaN among scores; SHAPE_MISMATCH for
 *   a weight that does not divide as the structure asks, or a score of another shape than its weight
 * @example
 * ```ts
 * import { data, fit, nn, ops, optim, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
 * const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
 * const pruner = new prune.Pruner(model, {
 *   amount: prune.global(0.9),
 *   schedule: prune.polynomial({ begin: 20, end: 80, frequency: 10 }),
 *   optimizer,
 * })
 * await fit(model, { train: data.digits().train, epochs: 3, optimizer, loss: ops.crossEntropy, callbacks: [pruner] })
 * pruner.report().total.sparsity // 0.9
 * pruner.remove() // the zeros become ordinary weights
 * ```
 */
export class Pruner {
  readonly #model: Module
  readonly #layers: readonly Layer[]
  readonly #schedule: Schedule
  readonly #optimizer: MaskedOptimizer | undefined
  readonly #generators: readonly Generator[]
  readonly #reparametrised: Removal[] = []
  #moment: Moment = { tick: 0, samples: 0, acts: 0 }
  #started = false
  #observing = false
  #probing = false
  readonly #warned = new Set<string>()

  constructor(model: Module, options: PrunerOptions) {
    this.#model = checkedModule('Pruner', model)
    const { schedule = oneShot(), optimizer, ...choice } = checkedOptions('Pruner', options)
    ensure(
      typeof schedule === 'object' && typeof schedule?.at === 'function',
      'INVALID_ARGUMENT',
      () => `Pruner: the schedule is ${describe(schedule)}, expected one such as oneShot()`,
    )
    ensure(
      optimizer === undefined || typeof optimizer?.setMask === 'function',
      'INVALID_ARGUMENT',
      () => `Pruner: the optimizer is ${describe(optimizer)}, expected one with setMask`,
    )
    this.#schedule = schedule
    this.#optimizer = optimizer
    this.#layers = chosenLayers(model, choice)
    const scheduled = schedule.scores ?? []
    const scores = [...this.#layers.map(({ score }) => score), ...scheduled]
    this.#generators = [...new Set(scores.flatMap(({ generator }) => generator ?? []))].filter((generator) => generator !== defaultGenerator)
    try {
      for (const layer of this.#layers) this.#attach(layer, scheduled)
      this.#tellOptimizer(this.#layers)
    } catch (error) {
      this.#release()
      throw error
    }
  }

  /** Where the training stands. */
  get moment(): Moment {
    return this.#moment
  }

  /** What the schedule wants before training. `step` and `fit` see to it if nobody has. */
  start(): PruneReport | null {
    return this.#begin() ? this.report() : null
  }

  /**
   * One tick: after an optimiser's step (or an epoch, as the schedule counts). Gives a report where masks were
   * drawn, else null.
   * @param options.samples samples trained on since the last tick; for schedules that count them
   */
  step({ samples = 0 }: { samples?: number } = {}): PruneReport | null {
    return this.#tick(wholeNumber('Pruner.step: samples', samples)) ? this.report() : null
  }

  /** As a callback of `fit`: it starts, if nobody has. */
  onEpochStart(): void {
    this.#begin()
  }
  /** As a callback of `fit`: a tick, where steps are counted. */
  onStepEnd({ samples = 0 }: Training): void {
    if (this.#schedule.every === 'step') this.#tick(samples)
  }
  /** As a callback of `fit`: a tick, where epochs are counted. */
  onEpochEnd(_: Training): void {
    if (this.#schedule.every === 'epoch') this.#tick(0)
  }

  /** Asked and achieved, by layer and in total. */
  report(): PruneReport {
    return reportOn(this.#layers)
  }

  /**
   * Lets the scores see what passes through the model in `body`, in training mode or not: for scores that need it
   * before any training, such as `wanda` (forward passes) and `snip` (backward too). Gradients it leaves are yours to drop.
   *
   * @example
   * ```ts
   * import { nn, noGrad, prune, rand } from 'espalier'
   * const layer = new nn.Linear(16, 4).eval()
   * const pruner = new prune.Pruner(layer, prune.policies.wanda({ sparsity: 0.5 }))
   * pruner.observe(() => noGrad(() => layer.forward(rand([32, 16]))))
   * pruner.step()
   * ```
   */
  observe<Result>(body: () => Result): Result {
    const before = this.#observing
    const done = (): void => {
      this.#observing = before
    }
    this.#observing = true
    let result: Result
    try {
      result = body()
    } catch (error) {
      done()
      throw error
    }
    if (result instanceof Promise) return result.finally(done) as Result
    done()
    return result
  }

  /**
   * Measures the diagonal of the Hessian of a loss for scores that need it, such as `hessian`; what each probe gives
   * is added to those before. Weights and gradients are afterwards what they were, and no other score sees the passes.
   *
   * @param loss gives the loss of a batch, always of the same: in evaluation mode, or without dropout
   * @throws EspalierError STATE where no score needs it, or the loss does not depend on a weight
   */
  probe(loss: () => Tensor, options: ProbeOptions = {}): void {
    const layers = this.#layers.filter(({ observer }) => observer?.probes)
    ensure(layers.length > 0, 'STATE', () => 'Pruner.probe: no score of this pruner needs the Hessian')
    const others = this.#model.parameters().map((parameter) => ({ parameter, gradient: parameter.grad }))
    this.#probing = true
    try {
      const weights = layers.map(({ module }) => module.latentWeight('weight'))
      for (const diagonals of hessianDiagonals(weights, loss, options)) for (const [i, { observer }] of layers.entries()) observer?.probed(diagonals[i])
    } finally {
      this.#probing = false
      for (const { parameter, gradient } of others) parameter.grad = gradient
    }
  }

  /** Ends it: takes every mask off, the zeros become ordinary weights, and nothing is observed any more. */
  remove(): void {
    for (const { module, tied, gradient, reparametrisation } of this.#layers)
      for (const one of [module, ...tied]) {
        if (reparametrisation !== null && one === module) writeEffective(module)
        for (const [name] of masksOf(one)) {
          if (gradient === maskedGradient) this.#optimizer?.setMask(one.latentWeight(name), null)
          removeMask(one, name)
        }
      }
    this.#release()
  }

  /** Stops observing; masks stay. For a pruner that is no longer needed while its model lives on. */
  detach(): void {
    for (const { observer } of this.#layers) observer?.detach()
  }

  /** Where it stands, as tensors by name: masks, the clock, what was asked and observed, and its generators. Copies. */
  stateDict(): PrunerState {
    return savedState(this.#layers, { moment: this.#moment, started: this.#started, generators: this.#generators.map(({ state }) => state) })
  }

  /**
   * Takes over a saved state and puts its masks on; load the model's own state after it. All or nothing.
   * @throws EspalierError SHAPE_MISMATCH for the state of another model's pruner
   */
  loadStateDict(state: PrunerState): void {
    const { moment, started, generators, masks, shares, statistics } = checkedState(this.#layers, this.#generators.length, state)
    const stays = new Set(masks.map(({ module, name }) => module.latentWeight(name)))
    for (const { module, tied } of this.#layers)
      for (const one of [module, ...tied]) for (const [name] of masksOf(one)) if (!stays.has(one.latentWeight(name))) removeMask(one, name, { keep: 'latent' })
    setMasks(masks)
    this.#moment = moment
    this.#started = started
    for (const [i, generator] of this.#generators.entries()) generator.state = generators[i]
    for (const [i, layer] of this.#layers.entries()) {
      layer.share = shares[i]
      layer.observer?.restore(statistics[i])
    }
    this.#tellOptimizer(this.#layers)
  }

  /** Puts onto a layer what the pruner needs there: what observes it, and what stands in the place of a mask. */
  #attach(layer: Layer, scheduled: readonly Score[]): void {
    const { name, module, tied, score, reparametrisation } = layer
    const needs = new Set([score, ...scheduled].flatMap((one) => one.needs ?? []))
    layer.observer = new Observer(this.#model, module, [...needs], () => !this.#probing && (this.#observing || module.training))
    if (reparametrisation === null) return
    ensure(
      tied.length === 0,
      'INVALID_ARGUMENT',
      () => `Pruner: the weight of ${describe(name)} is that of another layer too, which ${reparametrisation.name} cannot stand on`,
    )
    this.#reparametrised.push(reparametrisation.attach(module, 'weight'))
  }

  #release(): void {
    for (const handle of this.#reparametrised.splice(0)) handle.remove()
    this.detach()
  }

  /** The first tick, unless it was; whether masks were drawn. */
  #begin(): boolean {
    if (this.#started) return false
    const acted = this.#act(this.#moment)
    this.#started = true
    return acted
  }

  #tick(samples: number): boolean {
    const first = this.#begin()
    const { tick, samples: before, acts } = this.#moment
    return this.#act({ tick: tick + 1, samples: before + samples, acts }) || first
  }

  /** What the schedule wants at a moment, which is then the present; whether masks were drawn. */
  #act(moment: Moment): boolean {
    const actions = new Map<Amount, Action | null>()
    for (const { amount } of this.#layers) if (!actions.has(amount)) actions.set(amount, this.#schedule.at(moment, amount.value ?? Number.NaN))
    const draws = drawLayers(
      this.#layers.filter(({ gradient }) => gradient !== null),
      ({ amount }) => actions.get(amount) ?? null,
    )
    this.#put(draws)
    const acted = draws.length > 0
    this.#moment = acted ? { ...moment, acts: moment.acts + 1 } : moment
    if (acted) this.#warn(draws, actions)
    return acted
  }

  /** Puts what was drawn into the layers. The only step that can fail, setting the masks, comes first and is all or nothing. */
  #put(draws: readonly LayerDraw[]): void {
    const [masks, zeroed] = [newMasks(draws.filter(({ soft }) => !soft)), newMasks(draws.filter(({ soft }) => soft))]
    setMasks(masks, { handOver: true })
    for (const { mask, module, name } of zeroed) {
      if (maskOf(module, name) !== null) removeMask(module, name, { keep: 'latent' })
      multiply(module.latentWeight(name), mask)
    }
    for (const { layer, settled, share } of draws) {
      layer.share = share
      layer.observer?.drew()
      if (settled === null) continue
      const latent = layer.module.latentWeight('weight')
      multiply(latent, settled)
      for (const slot of Object.values(this.#optimizer?.state?.get(latent)?.slots ?? {})) if (sameShape(slot.shape, latent.shape)) multiply(slot, settled)
    }
    this.#tellOptimizer(draws.map(({ layer }) => layer))
  }

  /** Hands the masks to the optimiser, where fallen weights learn nothing. */
  #tellOptimizer(layers: readonly Layer[]): void {
    if (this.#optimizer === undefined) return
    for (const { module, gradient, bias } of layers)
      if (gradient === maskedGradient) {
        this.#optimizer.setMask(module.latentWeight('weight'), maskOf(module, 'weight'))
        const own = bias === 'mask' ? latentBias(module) : null
        if (own !== null) this.#optimizer.setMask(own, maskOf(module, 'bias'))
      }
  }

  /** Warns, once, of layers from which the amount's own number takes nothing. */
  #warn(draws: readonly LayerDraw[], actions: ReadonlyMap<Amount, Action | null>): void {
    for (const { layer, share } of draws) {
      const { name, amount, lies, module } = layer
      const level = actions.get(amount)?.level ?? amount.value
      if (share.asked !== 0 || level !== amount.value || !(amount.value! > 0) || this.#warned.has(name)) continue
      this.#warned.add(name)
      const units = lies.units(module.latentWeight('weight').shape)
      process.emitWarning(`Pruner: nothing falls from ${describe(name)}: ${amount.name} takes none of its ${units} units (${lies.name})`, {
        code: 'ESPALIER_NO_OP',
      })
    }
  }
}

/** Writes what a reparametrised layer computes with into its weight. */
function writeEffective(module: Module): void {
  const latent = module.latentWeight('weight')
  const transform = module.weightTransforms('weight').find(({ kind }) => kind === 'mask')
  if (transform !== undefined) assign(latent.storage, noGrad(() => transform.apply(latent, module)).storage)
}
