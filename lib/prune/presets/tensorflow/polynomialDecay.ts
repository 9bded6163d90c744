import { realNumber } from '../../../native/index.js'
import { polynomial } from '../../schedules/polynomial.js'
import type { Action, Moment } from '../../schedules/schedule.js'
import type { PruningSchedule } from './pruningSchedule.js'

/**
 * The sparsity of TensorFlow Model Optimization that rises from `initialSparsity` at `beginStep` to
 * `finalSparsity` at `endStep`, by a power of the way that is left; masks are drawn every `frequency` steps
 * between the two. For a `Pruner` it is a schedule whose levels are these, whatever the amount's own number.
 *
 * Source: tensorflow_model_optimization.sparsity.keras.PolynomialDecay, after Zhu & Gupta 2017.
 *
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const schedule = new prune.PolynomialDecay(0.2, 0.8, 100, 110, 3, 2)
 * schedule.call(102) // [true, 0.4928]
 * schedule.call(105) // [false, 0.725]
 * const pruner = new prune.Pruner(new nn.Linear(64, 32), { amount: schedule.finalSparsity, schedule })
 * ```
 */
export class PolynomialDecay implements PruningSchedule {
  readonly name: string
  readonly every = 'step'
  readonly #curve: (step: number) => number
  readonly #acts: (moment: Moment) => Action | null

  constructor(
    readonly initialSparsity: number,
    readonly finalSparsity: number,
    readonly beginStep: number,
    readonly endStep: number,
    readonly power = 3,
    readonly frequency = 100,
  ) {
    realNumber('PolynomialDecay: initialSparsity', initialSparsity, 0, 1)
    realNumber('PolynomialDecay: finalSparsity', finalSparsity, 0, 1)
    const options = { initial: initialSparsity, begin: beginStep, end: endStep, power }
    const [everyStep, atTimes] = [polynomial(options), polynomial({ ...options, frequency, atEnd: false })]
    this.name = `PolynomialDecay(${initialSparsity}, ${finalSparsity})`
    this.#curve = (step) => everyStep.at({ tick: Math.min(Math.max(step, beginStep), endStep), samples: 0, acts: 0 }, finalSparsity)?.level as number
    this.#acts = (moment) => atTimes.at(moment, finalSparsity)
  }

  /** Whether masks are drawn at a step, and the sparsity then. */
  call(step: number): [shouldPrune: boolean, sparsity: number] {
    return [this.at({ tick: step, samples: 0, acts: 0 }) !== null, this.#curve(step)]
  }

  at(moment: Moment): Action | null {
    return this.#acts(moment)
  }
}
