import { defineOp, noGrad } from '../../autograd/index.js'
import { EspalierError } from '../../native/index.js'
import { type Module, maskOf, type Removal, stages, type WeightTransform } from '../../nn/index.js'
import { elementwiseShapes } from '../../ops/cases.js'
import { assign, placedOn, Tensor, zeros } from '../../tensor/index.js'
import { onHost } from '../onHost.js'
import type { Seen, Statistic } from './statistic.js'

/** The tensor itself, which tells `observe` of the gradient that passes back through it. */
export const observeGradient = defineOp({
  name: 'observe_gradient',
  forward: (x: Tensor, _: (gradient: Tensor) => void) => new Tensor(x.storage, x.shape, x.dtype),
  backward(grad, { args: [, observe] }) {
    noGrad(() => observe(grad))
    return [grad]
  },
  selects: true,
  cases: (sample) => elementwiseShapes.map((shape): [Tensor, (gradient: Tensor) => void] => [sample(shape), () => {}]),
})

/** What stands on a weight's way behind its mask to see its gradients. A clone of the layer is not observed. */
class Tap implements WeightTransform {
  readonly kind = 'observer'
  readonly keepsZeros = true
  readonly stage = (stages.mask + stages.quantiser) / 2

  constructor(readonly observe: ((gradient: Tensor) => void) | null) {}

  apply(weight: Tensor): Tensor {
    return this.observe === null ? weight : observeGradient(weight, this.observe)
  }

  clone(): Tap {
    return new Tap(null)
  }
}

/** What is observed of one weight. */
export class Observer {
  readonly kept: ReadonlyMap<Statistic, Tensor>
  /** Statistics that something has been seen for, by their names. */
  readonly ready = new Set<string>()
  readonly #removals: Removal[] = []

  /** @param counts whether a pass that goes through now is to be seen */
  constructor(
    readonly model: Module,
    readonly module: Module,
    statistics: readonly Statistic[],
    counts: () => boolean,
  ) {
    const latent = module.latentWeight('weight')
    this.kept = new Map(statistics.map((one) => [one, zeros(one.shape?.(latent.shape, module) ?? latent.shape, { dtype: latent.dtype, device: 'cpu' })]))
    const entries = [...this.kept]
    for (const [one, kept] of entries)
      if (one.onStart !== undefined) {
        one.onStart(kept, onHost(latent))
        this.ready.add(one.name)
      }
    if (statistics.some(({ onInput }) => onInput))
      this.#removals.push(
        module.registerForwardHook((seen, inputs) => {
          if (seen === module && counts())
            for (const [one, kept] of entries) if (one.onInput !== undefined) this.#saw(one, () => one.onInput!(kept, onHost(inputs[0]), module))
          return undefined
        }),
      )
    if (statistics.some(({ onGradient }) => onGradient)) {
      const tap = new Tap((gradient) => {
        if (counts())
          for (const [one, kept] of entries)
            if (one.onGradient !== undefined) this.#saw(one, () => one.onGradient!(kept, onHost(gradient), onHost(module.latentWeight('weight'))))
      })
      this.#removals.push(module.addTransform('weight', tap))
    }
  }

  /** As a score sees it. */
  seen(mask: Tensor | null = maskOf(this.module, 'weight')): Seen {
    return {
      module: this.module,
      model: this.model,
      mask,
      of: (one) => {
        const kept = this.kept.get(one)
        if (kept !== undefined && this.ready.has(one.name)) return kept
        throw new EspalierError(
          'STATE',
          kept === undefined
            ? `prune: the score reads ${one.name} without naming it among what it needs`
            : `prune: nothing was seen of ${one.name} yet; ${one.onProbe ? 'call Pruner.probe' : 'train, or run batches in Pruner.observe,'} before pruning`,
        )
      },
    }
  }

  /** Whether anything here comes from probes. */
  get probes(): boolean {
    return [...this.kept.keys()].some(({ onProbe }) => onProbe)
  }

  /** The diagonal of the Hessian, as one probe showed it. */
  probed(diagonal: Tensor): void {
    for (const [one, kept] of this.kept) if (one.onProbe !== undefined) this.#saw(one, () => one.onProbe!(kept, diagonal))
  }

  /** Masks were drawn: what counts from one draw to the next starts again. */
  drew(): void {
    for (const [one, kept] of this.kept)
      if (one.resets) {
        kept.data.fill(0 as never)
        this.ready.delete(one.name)
      }
  }

  /** Takes over saved values, by the statistics' names; of the others nothing has been seen. */
  restore(values: ReadonlyMap<string, Tensor>): void {
    for (const [{ name }, kept] of this.kept) {
      const value = values.get(name)
      if (value === undefined) this.ready.delete(name)
      else {
        assign(kept.storage, value.storage)
        this.ready.add(name)
      }
    }
  }

  detach(): void {
    for (const removal of this.#removals.splice(0)) removal.remove()
  }

  #saw(one: Statistic, update: () => void): void {
    // (A backward pass on a GPU makes there what is not told where.)
    placedOn('cpu', () => noGrad(update))
    this.ready.add(one.name)
  }
}
