import { native } from '../../native/index.js'
import { square } from '../../ops/index.js'
import type { Statistic } from './statistic.js'

/** Σ g² over backward passes, since masks were last drawn: the diagonal of the empirical Fisher information, times their number. */
export const gradientSquares: Statistic = {
  name: 'gradientSquares',
  resets: true,
  onGradient: (kept, gradient) => native.accumulate(square(gradient).data, kept.data),
}
