import type { Allocation } from './allocation.js'
import type { Amount, Basis } from './amount.js'
import { allocated, amountIn } from './global.js'

/** Every weight is counted and ranked for itself. */
export const apart: Allocation = { name: 'perTensor', pools: (candidates, amount) => candidates.map((_, i) => ({ members: [i], amount })) }

/** The same amount of each layer's own units. */
export const perTensor = (amount: number | Amount, options: { of?: Basis } = {}): Amount => allocated(apart, amountIn(amount, options.of))
