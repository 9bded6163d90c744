import { native } from '../../native/index.js'
import { mul, neg } from '../../ops/index.js'
import type { Statistic } from './statistic.js'

/** −Σ g·w over all backward passes: how far descent has pushed the weight away from 0. */
export const weightMovement: Statistic = {
  name: 'weightMovement',
  onGradient: (kept, gradient, weight) => native.accumulate(neg(mul(gradient, weight)).data, kept.data),
}
