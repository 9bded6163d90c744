// The functions of torch.nn.utils.prune, to the letter, as compositions of parts.
import { describe, ensure } from '../../native/index.js'
import { Module, maskOf, removeMask, setMask } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import { type Amount, amountOf } from '../amounts/amount.js'
import { given } from '../scores/given.js'
import { l1 } from '../scores/l1.js'
import { pruneElements } from '../structures/element.js'

const checked = (operation: string, module: unknown): Module => {
  ensure(module instanceof Module, 'INVALID_ARGUMENT', () => `${operation}: the module is ${describe(module)}, expected a Module`)
  return module
}

/**
 * Masks the weights of the smallest |w| in one parameter. A second call prunes what the first left:
 * the amount counts entries with mask 1, and the current weights are ranked. The parameter becomes
 * `<name>_orig`, the mask the buffer `<name>_mask`; optimisers keep their parameter.
 *
 * All or nothing: on an error the module is as it was.
 *
 * @param amount a whole number is a count, a number below 1 a fraction of what remains (rounded half to
 *   even); see `count` and `fraction`
 * @param options.importanceScores ranks entries by the absolute values of these instead, of the parameter's shape
 * @throws EspalierError INVALID_ARGUMENT for an amount out of range, an unknown parameter, or NaN;
 *   SHAPE_MISMATCH for scores of another shape
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const layer = new nn.Linear(10, 10)
 * prune.l1Unstructured(layer, 'weight', 0.2) // 20 weights masked
 * prune.l1Unstructured(layer, 'weight', 0.2) // and 16 of the other 80
 * prune.remove(layer, 'weight')              // the 36 zeros become ordinary weights
 * ```
 */
export function l1Unstructured(module: Module, name: string, amount: number | Amount, { importanceScores }: { importanceScores?: Tensor } = {}): Module {
  const latent = checked('l1Unstructured', module).latentWeight(name)
  const score = importanceScores === undefined ? l1 : given(importanceScores, { magnitude: true })
  setMask(module, name, pruneElements(latent, maskOf(module, name), score, amountOf(amount)))
  return module
}

/** Ends the pruning of a parameter: the masked weight becomes the parameter, its zeros ordinary weights. */
export function remove(module: Module, name: string): Module {
  removeMask(checked('remove', module), name)
  return module
}

/** Whether any parameter in the module or below it is pruned. */
export function isPruned(module: Module): boolean {
  for (const part of checked('isPruned', module).modules())
    for (const [name] of part.ownBuffers()) if (name.endsWith('_mask') && maskOf(part, name.slice(0, -'_mask'.length)) !== null) return true
  return false
}
