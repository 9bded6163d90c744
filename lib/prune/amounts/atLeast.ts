import { ensure, realNumber } from '../../native/index.js'
import type { Amount, Basis } from './amount.js'
import { amountIn } from './global.js'

/**
 * An amount that leaves every weight at least `minimum` units, a count or below 1 a share: no layer runs
 * empty. Where that stands against the amount, less falls, and the report says so.
 */
export function atLeast(minimum: number, amount: number | Amount, options: { of?: Basis } = {}): Amount {
  realNumber('atLeast: minimum', minimum, 0)
  ensure(minimum < 1 || Number.isInteger(minimum), 'INVALID_ARGUMENT', () => `atLeast: minimum is ${minimum}, expected a whole number or one below 1`)
  const made = amountIn(amount, options.of)
  return {
    ...made,
    name: `atLeast(${minimum}, ${made.name})`,
    at: made.at && ((value) => atLeast(minimum, made.at!(value))),
    minimum,
  }
}

/** How many of a weight's units an amount leaves it. */
export const kept = ({ minimum = 0 }: Amount, units: number): number => Math.min(units, minimum < 1 ? Math.ceil(minimum * units) : minimum)
