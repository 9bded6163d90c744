import { describe, EspalierError, realNumber, wholeNumber } from '../../native/index.js'

/** What an amount is counted against: units that have not fallen yet, and all. */
export interface Units {
  readonly remaining: number
  readonly total: number
}

/** How many units fall in one call. */
export interface Amount {
  readonly name: string
  /** A whole number from 0 to `remaining`. */
  of(units: Units): number
}

/** `n` units; more than remain is an error. */
export function count(n: number): Amount {
  wholeNumber('count: n', n)
  return {
    name: `count(${n})`,
    of({ remaining }) {
      if (n > remaining) throw new EspalierError('INVALID_ARGUMENT', `the amount is ${n}, and only ${remaining} are left to prune`)
      return n
    },
  }
}

/**
 * A share of the units, 0 to 1, rounded to the nearest, half to even. Of what remains (the default), so
 * that repeated calls compound: twice 0.5 leaves a quarter; or of the total, counting what fell before.
 */
export function fraction(share: number, { of = 'remaining' }: { of?: 'remaining' | 'total' } = {}): Amount {
  realNumber('fraction: share', share, 0, 1)
  if (of !== 'remaining' && of !== 'total') throw new EspalierError('INVALID_ARGUMENT', `fraction: of is ${describe(of)}, expected 'remaining' or 'total'`)
  return {
    name: `fraction(${share} of ${of})`,
    of: ({ remaining, total }) => (of === 'remaining' ? roundHalfEven(share * remaining) : Math.max(0, roundHalfEven(share * total) - (total - remaining))),
  }
}

/**
 * A number as PyTorch reads it: a whole one is a count, one below 1 a fraction of what remains. So 1 is
 * one unit; everything is `fraction(1)`.
 */
export function amountOf(amount: number | Amount): Amount {
  if (typeof amount === 'object' && amount !== null && typeof amount.of === 'function') return amount
  if (typeof amount === 'number' && Number.isInteger(amount) && amount >= 0) return count(amount)
  if (typeof amount === 'number' && amount > 0 && amount < 1) return fraction(amount)
  throw new EspalierError('INVALID_ARGUMENT', `the amount is ${describe(amount)}, expected a whole number ≥ 0, a fraction below 1, or an amount`)
}

/** To the nearest whole number, ties to even. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1
  return below % 2 === 0 ? below : below + 1
}
