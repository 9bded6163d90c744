import type { Allocation } from './allocation.js'
import { type Amount, amountOf, type Basis } from './amount.js'

/** All weights are counted and ranked as if they were one. */
export const together: Allocation = { name: 'global', pools: (candidates, amount) => [{ members: candidates.map((_, i) => i), amount }] }

/** An amount of the units of all layers together: a number is a share of the total, or a count. */
export const global = (amount: number | Amount, options: { of?: Basis } = {}): Amount => allocated(together, amountIn(amount, options.of))

/** A number as the pruner reads it: of the total, unless `of` says otherwise. */
export const amountIn = (amount: number | Amount, of?: Basis): Amount => (typeof amount === 'number' ? amountOf(amount, of ?? 'total') : amountOf(amount, of))

/** An amount that is shared out in a certain way, whatever its number. */
export const allocated = (allocation: Allocation, amount: Amount): Amount => ({
  ...amount,
  name: `${allocation.name}(${amount.name})`,
  of: (units) => amount.of(units),
  at: amount.at && ((value) => allocated(allocation, amount.at!(value))),
  allocation,
})
