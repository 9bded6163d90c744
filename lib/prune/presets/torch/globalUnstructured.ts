import { describe, ensure } from '../../../native/index.js'
import { type Module, setMasks } from '../../../nn/index.js'
import type { Generator, Tensor } from '../../../tensor/index.js'
import type { Amount, Basis } from '../../amounts/amount.js'
import { checkedOptions, checkedPairs, type Pair, weightOf } from '../../weightOf.js'
import { BasePruningMethod } from './method.js'

export interface GlobalOptions {
  /** A class of methods whose `pruningType` is 'unstructured', such as `L1Unstructured` or `RandomUnstructured`. */
  method: new (
    amount: number | Amount,
    options: { of?: Basis; generator?: Generator },
  ) => BasePruningMethod
  /** Of the entries of all parameters together: a whole number is a count, one below 1 a fraction. */
  amount: number | Amount
  /** What a number is counted against. Default: what remains. */
  of?: Basis
  /** For a method that draws. */
  generator?: Generator
  /** Ranked in place of weights: for a module a tensor by parameter name. What it does not list is ranked by itself. */
  importanceScores?: ReadonlyMap<Module, Readonly<Record<string, Tensor>>>
}

/**
 * Masks weights of several parameters as if they were one: all survivors together are counted and
 * ranked; of equal ones those listed first fall first. All or nothing: on an error every module is as it was.
 *
 * @throws EspalierError INVALID_ARGUMENT for an empty list, a parameter that is unknown or listed twice, a
 *   method that is not unstructured, an amount out of range, or NaN; SHAPE_MISMATCH for scores of
 *   another shape; DTYPE_MISMATCH for parameters of different dtypes
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const [a, b] = [new nn.Linear(64, 32), new nn.Linear(32, 10)]
 * for (const amount of [0.2, 0.4, 0.6, 0.8])
 *   prune.globalUnstructured([[a, 'weight'], [b, 'weight']], { method: prune.L1Unstructured, amount, of: 'total' })
 * ```
 */
export function globalUnstructured(parameters: Iterable<Pair>, options: GlobalOptions): void {
  const { method, amount, of, generator, importanceScores = new Map() } = checkedOptions('globalUnstructured', options)
  const pairs = checkedPairs('globalUnstructured', parameters)
  ensure(
    typeof method === 'function' && method.prototype instanceof BasePruningMethod,
    'INVALID_ARGUMENT',
    () => `globalUnstructured: the method is ${describe(method)}, expected a class of pruning methods`,
  )
  const made = new method(amount, { of, generator })
  ensure(
    made.pruningType === 'unstructured',
    'INVALID_ARGUMENT',
    () => `globalUnstructured: ${method.name} is ${describe(made.pruningType)}, only 'unstructured' methods prune globally`,
  )
  ensure(
    importanceScores instanceof Map,
    'INVALID_ARGUMENT',
    () => `globalUnstructured: the importance scores are ${describe(importanceScores)}, expected a Map from modules to tensors by name`,
  )
  const weights = pairs.map(([module, name]) => weightOf('globalUnstructured', module, name, importanceScores.get(module)?.[name]))
  const masks = made.masksAfter(weights)
  setMasks(
    pairs.map(([module, name], i) => ({ module, name, mask: masks[i] })),
    { handOver: made.makesMasks },
  )
}
