import { itself, type Score } from './score.js'

/** |w|; of what falls together Σ|w|. */
export const l1: Score = { name: 'l1', of: itself, magnitude: true, norm: 1, entrywise: true }
