import { weightMovement } from '../statistics/weightMovement.js'
import type { Score } from './score.js'

/**
 * −Σ g·w over all batches: weights that training moves towards 0 fall, whatever their size. With the
 * gradient rule `straightThrough` the fallen are judged too, and may return. Sanh et al. 2020.
 */
export const movement: Score = { name: 'movement', needs: [weightMovement], magnitude: false, of: (_, seen) => seen.of(weightMovement) }
