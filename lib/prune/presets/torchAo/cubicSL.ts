import { ensure, realNumber } from '../../../native/index.js'
import { polynomial } from '../../schedules/polynomial.js'
import type { SparsityGroup } from './weightNormSparsifier.js'

export interface CubicSLOptions {
  /** s₀, the level at the beginning, 0 to 1. Default 0. */
  initSl?: number
  /** t₀, when it begins to rise. Default 0. */
  initT?: number
  /** Δt. Default 10. */
  deltaT?: number
  /** n: the end is reached at t₀ + n·Δt. Default 100. */
  totalT?: number
  /** Before t₀ the level is 0, not s₀. Default false. */
  initiallyZero?: boolean
}

/**
 * torch.ao's schedule of sparsity levels: each weight's level rises from s₀ to its own, s, as
 * s + (s₀ − s)·(1 − (t − t₀) / (n·Δt))³, t counting calls of `step` from 0. The first level is set at once.
 * In `fit` it is a callback that steps with the epochs.
 *
 * Source: PyTorch 1.13, torch.ao.sparsity.CubicSL, after Zhu & Gupta 2017.
 *
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const sparsifier = new prune.WeightNormSparsifier({ sparsityLevel: 0.8 })
 * sparsifier.prepare(new nn.Linear(64, 32))
 * const schedule = new prune.CubicSL(sparsifier, { initSl: 0.2, deltaT: 1, totalT: 10 })
 * schedule.step()
 * schedule.getLastSl() // [0.3626]
 * ```
 */
export class CubicSL {
  readonly #groups: SparsityGroup[]
  readonly #curves: readonly ((t: number) => number)[]
  #t = 0

  constructor(
    { groups }: { readonly groups: SparsityGroup[] },
    { initSl = 0, initT = 0, deltaT = 10, totalT = 100, initiallyZero = false }: CubicSLOptions = {},
  ) {
    realNumber('CubicSL: initSl', initSl, 0, 1)
    ensure(groups.length > 0, 'STATE', () => 'CubicSL: the sparsifier has no weights yet; prepare it first')
    const end = initT + deltaT * totalT
    const curve = polynomial({ initial: initSl, begin: initT, end })
    this.#groups = groups
    this.#curves = groups.map(({ sparsityLevel }) => (t) => {
      if (t < initT) return initiallyZero ? 0 : initSl
      return curve.at({ tick: Math.min(t, end), samples: 0, acts: 0 }, sparsityLevel)?.level as number
    })
    this.#set()
  }

  /** On to the next level: after an epoch, or as often as you like. */
  step(): void {
    this.#t++
    this.#set()
  }

  /** In `fit`. */
  onEpochEnd(): void {
    this.step()
  }

  /** The level of each weight of the sparsifier. */
  getLastSl(): number[] {
    return this.#curves.map((level) => level(this.#t))
  }

  #set(): void {
    for (const [i, level] of this.getLastSl().entries()) this.#groups[i].sparsityLevel = level
  }
}
