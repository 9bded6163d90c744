import { describe, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import type { Allocation } from './allocation.js'
import type { Amount, Basis } from './amount.js'
import { allocated, amountIn } from './global.js'

/**
 * The same amount of each group of layers, whose units are counted and ranked together.
 * @param group names a layer's group: `(name) => name.split('.')[0]`, `(_, module) => module.constructor.name`
 */
export function perGroup(amount: number | Amount, group: (name: string, module: Module) => string, options: { of?: Basis } = {}): Amount {
  ensure(typeof group === 'function', 'INVALID_ARGUMENT', () => `perGroup: group is ${describe(group)}, expected a function`)
  const allocation: Allocation = {
    name: 'perGroup',
    pools(candidates, share) {
      const members = new Map<string, number[]>()
      for (const [i, { name, module }] of candidates.entries()) {
        const key = group(name, module)
        members.set(key, [...(members.get(key) ?? []), i])
      }
      return Array.from(members.values(), (list) => ({ members: list, amount: share }))
    },
  }
  return allocated(allocation, amountIn(amount, options.of))
}
