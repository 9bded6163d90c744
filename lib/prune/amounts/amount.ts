import { describe, EspalierError, realNumber, wholeNumber } from '../../native/index.js'
import type { Allocation } from './allocation.js'

/** What an amount is counted against: units that have not fallen yet, and all. */
export interface Units {
  readonly remaining: number
  readonly total: number
  /** How many of the remaining have a score of at most (or, `strictly`, below) a threshold. */
  atMost(threshold: number, options?: { strictly?: boolean }): number
  /** The k-th lowest score of the remaining, k from 1. */
  lowest(k: number): number
}

/** How many units fall in one call. */
export interface Amount {
  readonly name: string
  /** A whole number from 0 to `remaining`. */
  of(units: Units): number
  /** The number it was made with: what a schedule leads up to. */
  readonly value?: number
  /** The same amount with another number; a schedule asks for it. */
  at?(value: number): Amount
  /** What its number is counted against, where it is counted against either. */
  readonly basis?: Basis
  /** How it is shared out among several weights. Absent: to each weight for itself. */
  readonly allocation?: Allocation
  /** Units that every weight keeps: a count, or below 1 a fraction. Absent: 0. */
  readonly minimum?: number
}

/** What a number of units is counted against: those that remain, or all, with those that fell before among the fallen. */
export type Basis = 'remaining' | 'total'

const checkedBasis = (operation: string, of: Basis): Basis => {
  if (of === 'remaining' || of === 'total') return of
  throw new EspalierError('INVALID_ARGUMENT', `${operation}: of is ${describe(of)}, expected 'remaining' or 'total'`)
}

/** What still has to fall for `wanted` of all units to have fallen. */
const rest = (wanted: number, { remaining, total }: Pick<Units, 'remaining' | 'total'>): number => Math.max(0, wanted - (total - remaining))

/** `n` units, or with `of: 'total'` as many as bring the fallen to n. More than there are is an error. */
export function count(n: number, { of = 'remaining' }: { of?: Basis } = {}): Amount {
  wholeNumber('count: n', n)
  checkedBasis('count', of)
  return {
    name: `count(${n} of ${of})`,
    value: n,
    basis: of,
    at: (value) => count(Math.round(value), { of }),
    of(units) {
      const falling = of === 'remaining' ? n : rest(n, units)
      if (falling > units.remaining)
        throw new EspalierError('INVALID_ARGUMENT', `the amount is ${n}, and ${units.remaining} of ${units.total} are left to prune`)
      return falling
    },
  }
}

/**
 * A share of the units, 0 to 1, rounded to the nearest, half to even, or as `round` says. Of what remains (the default), so
 * that repeated calls compound: twice 0.5 leaves a quarter; or of the total, counting what fell before.
 */
export function fraction(share: number, { of = 'remaining', round = 'nearest' }: { of?: Basis; round?: Rounding } = {}): Amount {
  realNumber('fraction: share', share, 0, 1)
  checkedBasis('fraction', of)
  const whole = roundings[round]
  if (!Object.hasOwn(roundings, round))
    throw new EspalierError('INVALID_ARGUMENT', `fraction: round is ${describe(round)}, expected 'nearest', 'floor' or 'ceil'`)
  return {
    name: `fraction(${share} of ${of})`,
    value: share,
    basis: of,
    at: (value) => fraction(value, { of, round }),
    of: (units) => (of === 'remaining' ? whole(share * units.remaining) : rest(whole(share * units.total), units)),
  }
}

/**
 * A number as PyTorch reads it: a whole one is a count, one below 1 a fraction. JavaScript cannot tell
 * 1.0 from 1, so 1 is one unit; everything is `fraction(1)`.
 */
export function amountOf(amount: number | Amount, of?: Basis): Amount {
  if (typeof amount === 'object' && amount !== null && typeof amount.of === 'function') {
    if (of === undefined) return amount
    throw new EspalierError('INVALID_ARGUMENT', `of is ${describe(of)}, but ${amount.name} says itself what it counts`)
  }
  if (typeof amount === 'number' && Number.isInteger(amount) && amount >= 0) return count(amount, { of })
  if (typeof amount === 'number' && amount > 0 && amount < 1) return fraction(amount, { of })
  throw new EspalierError('INVALID_ARGUMENT', `the amount is ${describe(amount)}, expected a whole number ≥ 0, a fraction below 1, or an amount`)
}

/** To the nearest whole number, ties to even. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  if (rest !== 0.5) return rest < 0.5 ? below : below + 1
  return below % 2 === 0 ? below : below + 1
}

/** How a share becomes a whole number. */
export type Rounding = 'nearest' | 'floor' | 'ceil'
const roundings: Readonly<Record<Rounding, (value: number) => number>> = { nearest: roundHalfEven, floor: Math.floor, ceil: Math.ceil }
