import type { Schedule } from '../../schedules/schedule.js'

/** A schedule as TensorFlow Model Optimization calls it. */
export interface PruningSchedule extends Schedule {
  /** Whether masks are drawn at a step, and the sparsity then. */
  call(step: number): [shouldPrune: boolean, sparsity: number]
}
