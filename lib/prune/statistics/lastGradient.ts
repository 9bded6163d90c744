import type { Statistic } from './statistic.js'

/** g of the last backward pass. */
export const lastGradient: Statistic = {
  name: 'lastGradient',
  onGradient: (kept, gradient) => kept.data.set(gradient.data as never),
}
