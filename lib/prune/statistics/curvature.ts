import { native } from '../../native/index.js'
import type { Statistic } from './statistic.js'

/** Σ of the Hessian's diagonal over the probes of `Pruner.probe`, since masks were last drawn. */
export const curvature: Statistic = {
  name: 'curvature',
  resets: true,
  onProbe: (kept, diagonal) => native.accumulate(diagonal.data, kept.data),
}
