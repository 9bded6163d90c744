import { ensure } from '../../native/index.js'
import { type Amount, amountOf } from '../amounts/amount.js'
import { element } from './element.js'
import type { Structure } from './structure.js'

/** A structure, with an amount of its own where it is given one. */
export type MixedPart = Structure | readonly [structure: Structure, amount: number | Amount]

/**
 * Several structures, one after another, each acting on what the ones before left: first filters, then
 * kernels, then single weights. Each counts its own units against its own amount (a number is a share of
 * the total, or a count), or else against the one of the whole.
 *
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const layer = new nn.Conv2d(4, 8, 3)
 * new prune.Pruner(layer, { structure: prune.mixed([prune.filter, 0.25], [prune.element, 0.5]) }).step()
 * // 2 of 8 filters fell, and as many single weights as bring the zeros to half of all
 * ```
 */
export function mixed(...parts: readonly MixedPart[]): Structure {
  ensure(parts.length > 0, 'INVALID_ARGUMENT', () => 'mixed: there is no structure in the mix')
  const made = parts.map((part) => {
    if (!Array.isArray(part)) return { structure: part as Structure }
    const [structure, amount] = part as readonly [Structure, number | Amount]
    return { structure, amount: typeof amount === 'number' ? amountOf(amount, 'total') : amount }
  })
  for (const { structure } of made) ensure(typeof structure?.units === 'function', 'INVALID_ARGUMENT', () => 'mixed: a part is no structure')
  const mix = (list: Structure['parts'] & {}): Structure => ({
    ...element,
    entries: undefined,
    name: `mixed(${list.map(({ structure }) => structure.name).join(', ')})`,
    parts: list,
    // Where every part has its own amount, that of the whole says nothing.
    amount: list.every(({ structure, amount }) => (amount ?? structure.amount) !== undefined) ? amountOf(0) : undefined,
    on: (module) => mix(list.map(({ structure, amount }) => ({ structure: structure.on?.(module) ?? structure, amount }))),
  })
  return mix(made)
}
