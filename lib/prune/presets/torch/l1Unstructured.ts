import type { Module } from '../../../nn/index.js'
import type { Tensor } from '../../../tensor/index.js'
import { type Amount, amountOf, type Basis } from '../../amounts/amount.js'
import { l1 } from '../../scores/l1.js'
import { element } from '../../structures/element.js'
import { ComposedMethod } from './method.js'

/** The weights of the smallest |w| fall. */
export class L1Unstructured extends ComposedMethod {
  readonly pruningType = 'unstructured'

  constructor(amount: number | Amount, { of }: { of?: Basis } = {}) {
    super({ score: l1, structure: element, amount: amountOf(amount, of) })
  }
}

/**
 * Masks the weights of the smallest |w| in one parameter. A second call prunes what the first left:
 * the amount counts entries with mask 1, and the current weights are ranked. The parameter becomes
 * `<name>_orig`, the mask the buffer `<name>_mask`; optimisers keep their parameter.
 *
 * All or nothing: on an error the module is as it was.
 *
 * @param amount a whole number is a count, a number below 1 a fraction (rounded half to even) of what remains
 *   or, with `of: 'total'`, of all entries, those that fell before among them; see `count` and `fraction`
 * @param options.importanceScores ranks entries by the absolute values of these instead, of the parameter's shape
 * @throws EspalierError INVALID_ARGUMENT for an amount out of range, an unknown parameter, or NaN;
 *   SHAPE_MISMATCH for scores of another shape
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const layer = new nn.Linear(10, 10)
 * prune.l1Unstructured(layer, 'weight', 0.2)                  // 20 weights masked
 * prune.l1Unstructured(layer, 'weight', 0.2)                  // and 16 of the other 80
 * prune.l1Unstructured(layer, 'weight', 0.5, { of: 'total' }) // and 14, which makes 50
 * prune.remove(layer, 'weight')                               // the 50 zeros become ordinary weights
 * ```
 */
export function l1Unstructured(
  module: Module,
  name: string,
  amount: number | Amount,
  { importanceScores, of }: { importanceScores?: Tensor; of?: Basis } = {},
): Module {
  new L1Unstructured(amount, { of }).apply(module, name, { importanceScores })
  return module
}
