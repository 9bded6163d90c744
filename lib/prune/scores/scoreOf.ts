import { describe, ensure } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Seen } from '../statistics/statistic.js'
import type { Score } from './score.js'

/** A score, or as a short form a function that gives a number for each entry, the lowest of which fall first. */
export type ScoreLike = Score | ((weight: Tensor, seen: Seen) => Tensor)

/** What was given as a score, or the error for what is none. */
export function scoreOf(operation: string, score: ScoreLike): Score {
  if (typeof score === 'function') return { name: score.name || 'function', of: score, magnitude: false }
  ensure(typeof score?.of === 'function', 'INVALID_ARGUMENT', () => `${operation}: the score is ${describe(score)}, expected one such as l1`)
  return score
}
