import { native } from '../../native/index.js'
import type { Statistic } from './statistic.js'

/** Σ g over backward passes, since masks were last drawn. */
export const gradientSum: Statistic = {
  name: 'gradientSum',
  resets: true,
  onGradient: (kept, gradient) => native.accumulate(gradient.data, kept.data),
}
