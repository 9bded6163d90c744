import { assign } from '../../tensor/index.js'
import type { Statistic } from './statistic.js'

/** g of the last backward pass. */
export const lastGradient: Statistic = {
  name: 'lastGradient',
  onGradient: (kept, gradient) => assign(kept.storage, gradient.storage),
}
