import { native } from '../../native/index.js'
import { mul, square } from '../../ops/index.js'
import type { Statistic } from './statistic.js'

/** Σ (g·w)² over backward passes, since masks were last drawn: the squared change of each batch's loss, to first order, without the weight. */
export const removalLoss: Statistic = {
  name: 'removalLoss',
  resets: true,
  onGradient: (kept, gradient, weight) => native.accumulate(square(mul(gradient, weight)).data, kept.data),
}
