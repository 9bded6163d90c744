import type { Score } from './score.js'

/** |w|. */
export const l1: Score = { name: 'l1', of: (weight) => weight, magnitude: true }
