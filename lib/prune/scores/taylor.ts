import { removalLoss } from '../statistics/removalLoss.js'
import type { Score } from './score.js'

/**
 * Σ (g·w)² over batches: what the loss would change by, to first order, without the weight; of what falls
 * together the sum. Molchanov et al. 2019.
 */
export const taylor: Score = { name: 'taylor', needs: [removalLoss], magnitude: false, of: (_, seen) => seen.of(removalLoss) }
