import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../../native/index.js'
import { type AnyGroup, groupsOf, perGroup, type Schedulable, Schedule } from './schedule.js'

export interface OneCycleLROptions {
  /** The rate at the top, for all groups or for each. */
  maxLr: number | readonly number[]
  /** Steps of the cycle; or give `epochs` and `stepsPerEpoch`. */
  totalSteps?: number
  epochs?: number
  stepsPerEpoch?: number
  /** Share of the cycle that rises. Default 0.3. */
  pctStart?: number
  annealStrategy?: 'cos' | 'linear'
  /** Move the momentum (of Adam: beta1) against the rate. Default true. */
  cycleMomentum?: boolean
  /** Momentum where the rate is highest. Default 0.85. */
  baseMomentum?: number | readonly number[]
  /** Momentum at both ends. Default 0.95. */
  maxMomentum?: number | readonly number[]
  /** The first rate is maxLr over this. Default 25. */
  divFactor?: number
  /** The last rate is the first over this. Default 1e4. */
  finalDivFactor?: number
  /** Fall as long as the rise, then to the last rate. Default false. */
  threePhase?: boolean
}

interface Phase {
  end: number
  /** Which rate and momentum it leads from and to. */
  rates: readonly ['first' | 'top', 'first' | 'top' | 'last']
  momenta: readonly ['high' | 'low', 'high' | 'low']
}

type Momentum = AnyGroup & { momentum?: number; betas?: readonly [number, number] }

/**
 * One rise and one fall of the rate, the momentum against it, to be stepped after every batch. Smith &
 * Topin, "Super-convergence", 2018, with PyTorch's phases. The last rate is kept by
 * one step more, which loops take after their last batch; a further one is an error.
 */
export class OneCycleLR extends Schedule {
  constructor(optimizer: Schedulable, options: OneCycleLROptions) {
    const name = 'OneCycleLR'
    const groups = groupsOf(name, optimizer) as Momentum[]
    const { pctStart = 0.3, annealStrategy = 'cos', cycleMomentum = true, divFactor = 25, finalDivFactor = 1e4, threePhase = false } = options
    const total =
      options.totalSteps === undefined
        ? wholeNumber(`${name}: epochs`, options.epochs, 1) * wholeNumber(`${name}: stepsPerEpoch`, options.stepsPerEpoch, 1)
        : wholeNumber(`${name}: totalSteps`, options.totalSteps, 1)
    realNumber(`${name}: pctStart`, pctStart, 0, 1)
    realNumber(`${name}: divFactor`, divFactor, Number.MIN_VALUE)
    realNumber(`${name}: finalDivFactor`, finalDivFactor, Number.MIN_VALUE)
    ensure(annealStrategy === 'cos' || annealStrategy === 'linear', 'INVALID_ARGUMENT', () => `${name}: annealStrategy is ${describe(annealStrategy)}`)
    const top = perGroup(`${name}: maxLr`, options.maxLr, groups.length)
    for (const rate of top) realNumber(`${name}: maxLr`, rate, 0)
    const low = perGroup(`${name}: baseMomentum`, options.baseMomentum ?? 0.85, groups.length)
    const high = perGroup(`${name}: maxMomentum`, options.maxMomentum ?? 0.95, groups.length)
    for (const momentum of [...low, ...high]) realNumber(`${name}: momentum`, momentum, 0, 1)
    ensure(
      !cycleMomentum || groups.every((group) => group.betas !== undefined || group.momentum !== undefined),
      'INVALID_ARGUMENT',
      () => `${name}: the optimizer has neither momentum nor betas to cycle; pass cycleMomentum: false`,
    )

    const rise = pctStart * total - 1
    const phases: Phase[] = threePhase
      ? [
          { end: rise, rates: ['first', 'top'], momenta: ['high', 'low'] },
          { end: 2 * pctStart * total - 2, rates: ['top', 'first'], momenta: ['low', 'high'] },
          { end: total - 1, rates: ['first', 'last'], momenta: ['high', 'high'] },
        ]
      : [
          { end: rise, rates: ['first', 'top'], momenta: ['high', 'low'] },
          { end: total - 1, rates: ['top', 'last'], momenta: ['low', 'high'] },
        ]
    const between =
      annealStrategy === 'cos'
        ? (from: number, to: number, share: number) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * share))
        : (from: number, to: number, share: number) => from + (to - from) * share
    /** The phase of a step, and the share of it that has passed. */
    const locate = (step: number): { phase: Phase; share: number } => {
      if (step > total) throw new EspalierError('STATE', `${name}: step ${step} of a cycle of ${total} steps`)
      let start = 0
      const last = phases.length - 1
      let i = 0
      for (; i < last && step > phases[i].end; i++) start = phases[i].end
      const length = phases[i].end - start
      return { phase: phases[i], share: length === 0 ? 1 : Math.min(1, (step - start) / length) }
    }

    super(name, optimizer, ({ epoch, group }) => {
      const { phase, share } = locate(epoch)
      const first = top[group] / divFactor
      const rate = { first, top: top[group], last: first / finalDivFactor }
      const momentum = { low: low[group], high: high[group] }
      if (cycleMomentum) {
        const value = between(momentum[phase.momenta[0]], momentum[phase.momenta[1]], share)
        const settings = groups[group]
        if (settings.betas !== undefined) settings.betas = [value, settings.betas[1]]
        else settings.momentum = value
      }
      return between(rate[phase.rates[0]], rate[phase.rates[1]], share)
    })
  }
}
