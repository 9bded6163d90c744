import { describe, ensure } from '../../native/index.js'
import { itself, type Score } from './score.js'

/**
 * |w|; of what falls together the norm of order n, (Σ|w|ⁿ)^(1/n): the largest |w| for ∞, the smallest
 * for −∞, the number of weights that are not 0 for 0.
 */
export function ln(n: number): Score {
  ensure(typeof n === 'number' && !Number.isNaN(n), 'INVALID_ARGUMENT', () => `ln: n is ${describe(n)}, expected a number, ∞ or −∞`)
  return { name: `l${n}`, of: itself, magnitude: true, norm: n, entrywise: true }
}
