import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../../native/index.js'
import { type AnyGroup, groupsOf, perGroup, type Schedulable, type ScheduleState } from './schedule.js'

export interface ReduceLROnPlateauOptions {
  /** Whether the metric should fall or rise. Default 'min'. */
  mode?: 'min' | 'max'
  /** What the rate is multiplied by, below 1. Default 0.1. */
  factor?: number
  /** Steps without improvement that are let pass. Default 10. */
  patience?: number
  /** An improvement is more than this. Default 1e-4. */
  threshold?: number
  /** … as a share of the best (default), or as a difference. */
  thresholdMode?: 'rel' | 'abs'
  /** Steps after a reduction that do not count. Default 0. */
  cooldown?: number
  /** No rate falls below, for all groups or for each. Default 0. */
  minLr?: number | readonly number[]
  /** A reduction by no more than this is left out. Default 1e-8. */
  eps?: number
}

/** Lowers the rate when a metric has not improved for a while. Give the metric to each `step`; NaN is no improvement. */
export class ReduceLROnPlateau {
  lastEpoch = 0
  best: number
  badEpochs = 0
  cooldownCounter = 0
  readonly #groups: AnyGroup[]
  readonly #better: (metric: number, best: number) => boolean
  readonly #options: { factor: number; patience: number; cooldown: number; eps: number; minLr: readonly number[] }

  constructor(optimizer: Schedulable, options: ReduceLROnPlateauOptions = {}) {
    const name = 'ReduceLROnPlateau'
    const { mode = 'min', factor = 0.1, patience = 10, threshold = 1e-4, thresholdMode = 'rel', cooldown = 0, eps = 1e-8 } = options
    this.#groups = groupsOf(name, optimizer)
    ensure(mode === 'min' || mode === 'max', 'INVALID_ARGUMENT', () => `${name}: mode is ${describe(mode)}, expected 'min' or 'max'`)
    ensure(
      thresholdMode === 'rel' || thresholdMode === 'abs',
      'INVALID_ARGUMENT',
      () => `${name}: thresholdMode is ${describe(thresholdMode)}, expected 'rel' or 'abs'`,
    )
    realNumber(`${name}: factor`, factor, 0, 1)
    ensure(factor < 1, 'INVALID_ARGUMENT', () => `${name}: factor is 1, expected less`)
    wholeNumber(`${name}: patience`, patience)
    wholeNumber(`${name}: cooldown`, cooldown)
    realNumber(`${name}: threshold`, threshold, 0)
    realNumber(`${name}: eps`, eps, 0)
    const minLr = perGroup(`${name}: minLr`, options.minLr ?? 0, this.#groups.length)
    for (const rate of minLr) realNumber(`${name}: minLr`, rate, 0)
    this.#options = { factor, patience, cooldown, eps, minLr }
    const sign = mode === 'min' ? 1 : -1
    this.#better =
      thresholdMode === 'rel'
        ? (metric, best) => sign * metric < sign * (best * (1 - sign * threshold))
        : (metric, best) => sign * metric < sign * best - threshold
    this.best = sign * Number.POSITIVE_INFINITY
  }

  step(metric: number): void {
    if (typeof metric !== 'number') throw new EspalierError('INVALID_ARGUMENT', `ReduceLROnPlateau.step: the metric is ${describe(metric)}, expected a number`)
    const { factor, patience, cooldown, eps, minLr } = this.#options
    this.lastEpoch++
    if (this.#better(metric, this.best)) {
      this.best = metric
      this.badEpochs = 0
    } else this.badEpochs++
    if (this.cooldownCounter > 0) {
      this.cooldownCounter--
      this.badEpochs = 0
    }
    if (this.badEpochs <= patience) return
    this.#groups.forEach((group, i) => {
      const reduced = Math.max(group.lr * factor, minLr[i])
      if (group.lr - reduced > eps) group.lr = reduced
    })
    this.cooldownCounter = cooldown
    this.badEpochs = 0
  }

  getLastLr(): number[] {
    return this.#groups.map(({ lr }) => lr)
  }

  stateDict(): ScheduleState {
    const { lastEpoch, best, badEpochs, cooldownCounter } = this
    return { lastEpoch, best, badEpochs, cooldownCounter }
  }

  loadStateDict(state: ScheduleState): void {
    const { lastEpoch, best, badEpochs, cooldownCounter } = state as Record<string, number>
    for (const [name, value] of Object.entries({ lastEpoch, badEpochs, cooldownCounter })) wholeNumber(`ReduceLROnPlateau.loadStateDict: ${name}`, value)
    ensure(typeof best === 'number', 'INVALID_ARGUMENT', () => `ReduceLROnPlateau.loadStateDict: best is ${describe(best)}`)
    Object.assign(this, { lastEpoch, best, badEpochs, cooldownCounter })
  }
}
