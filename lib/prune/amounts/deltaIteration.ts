import { ensure, realNumber } from '../../native/index.js'
import type { Amount } from './amount.js'

const float32 = Math.fround

/**
 * N2D2's search for a threshold: of the levels δ, 2δ, 3δ, … the lowest at which no less than `share` of all
 * units score at most that level; all units at or below it fall. It reaches at least the share, and
 * overshoots where scores lie closer than δ. For a share of 0 the level is 0: scores of exactly 0 fall.
 * Shares and levels are compared in float32, as there.
 *
 * The level is computed, not searched for: a small δ costs nothing.
 *
 * @param share 0 to 1
 * @param delta δ, above 0 in float32
 */
export function deltaIteration(share: number, delta: number): Amount {
  realNumber('deltaIteration: share', share, 0, 1)
  realNumber('deltaIteration: delta', delta, 0)
  ensure(float32(delta) > 0, 'INVALID_ARGUMENT', () => `deltaIteration: delta is ${delta}, expected a number above 0 in float32`)
  return {
    name: `deltaIteration(${share}, ${delta})`,
    value: share,
    at: (value) => deltaIteration(value, delta),
    of({ remaining, total, lowest, atMost }) {
      if (float32(share) === 0) return atMost(0)
      const missing = unitsFor(share, total) - (total - remaining)
      return atMost(levelFor(missing > 0 ? lowest(missing) : 0, delta))
    },
  }
}

/** The smallest number of `total` units whose quotient reaches the share in float32. */
function unitsFor(share: number, total: number): number {
  let units = Math.ceil(share * total)
  while (units > 1 && float32((units - 1) / total) >= float32(share)) units--
  while (units < total && float32(units / total) < float32(share)) units++
  return units
}

/** The lowest of the levels δ, 2δ, … that a score does not exceed. */
function levelFor(score: number, delta: number): number {
  const level = (k: number): number => float32(float32(delta) * float32(k))
  let k = Math.max(1, Math.ceil(score / float32(delta)))
  ensure(k < 2 ** 32, 'INVALID_ARGUMENT', () => `deltaIteration: delta is ${delta}, too small for a score of ${score}; expected at least 2⁻³² of it`)
  // The quotient's rounding and the level's: k can be off by some steps.
  while (k > 1 && level(k - 1) >= score) k--
  while (level(k) < score) k++
  return level(k)
}
