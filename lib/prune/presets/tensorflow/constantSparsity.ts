import { ensure, realNumber, wholeNumber } from '../../../native/index.js'
import type { Action, Moment } from '../../schedules/schedule.js'
import type { PruningSchedule } from './pruningSchedule.js'

/**
 * The sparsity of TensorFlow Model Optimization that stays what it is; masks are drawn at `beginStep` and every
 * `frequency` steps from there to `endStep`, or for ever where that is −1. For a `Pruner` it is a schedule
 * whose level is this, whatever the amount's own number.
 *
 * Source: tensorflow_model_optimization.sparsity.keras.ConstantSparsity.
 *
 * @example
 * ```ts
 * import { prune } from 'espalier'
 * const schedule = new prune.ConstantSparsity(0.5, 10, -1, 5)
 * schedule.call(15) // [true, 0.5]
 * schedule.call(16) // [false, 0.5]
 * ```
 */
export class ConstantSparsity implements PruningSchedule {
  readonly name: string
  readonly every = 'step'

  constructor(
    readonly targetSparsity: number,
    readonly beginStep: number,
    readonly endStep = -1,
    readonly frequency = 100,
  ) {
    realNumber('ConstantSparsity: targetSparsity', targetSparsity, 0, 1)
    wholeNumber('ConstantSparsity: beginStep', beginStep)
    wholeNumber('ConstantSparsity: endStep', endStep, -1)
    wholeNumber('ConstantSparsity: frequency', frequency, 1)
    ensure(
      endStep === -1 || endStep >= beginStep,
      'INVALID_ARGUMENT',
      () => `ConstantSparsity: endStep is ${endStep}, expected −1 or at least beginStep, ${beginStep}`,
    )
    this.name = `ConstantSparsity(${targetSparsity})`
  }

  call(step: number): [shouldPrune: boolean, sparsity: number] {
    return [this.at({ tick: step }) !== null, this.targetSparsity]
  }

  at({ tick }: Pick<Moment, 'tick'>): Action | null {
    const open = tick >= this.beginStep && (this.endStep === -1 || tick <= this.endStep)
    return open && (tick - this.beginStep) % this.frequency === 0 ? { level: this.targetSparsity } : null
  }
}
