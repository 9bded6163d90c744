import type { Module } from '../../../nn/index.js'
import type { Tensor } from '../../../tensor/index.js'
import { type Amount, amountOf, type Basis } from '../../amounts/amount.js'
import type { BiasRule } from '../../biasMask.js'
import { ln } from '../../scores/ln.js'
import { slice } from '../../structures/slice.js'
import { ComposedMethod } from './method.js'

/** The slices along a dimension of the smallest norm fall. */
export class LnStructured extends ComposedMethod {
  readonly pruningType = 'structured'

  constructor(
    amount: number | Amount,
    readonly n: number,
    override readonly dim = -1,
    { of }: { of?: Basis } = {},
  ) {
    super({ score: ln(n), structure: slice(dim), amount: amountOf(amount, of) })
  }
}

/**
 * Masks the slices of one parameter along `dim` whose norm of order `n` is the smallest: filters of a
 * convolution (dim 0), its input channels (dim 1), rows and columns of a linear layer. The amount counts
 * slices of which anything is left; a half-pruned slice is ranked by what it has left.
 *
 * All or nothing: on an error the module is as it was.
 *
 * @param amount as in `l1Unstructured`, of slices
 * @param n order of the norm; ±Infinity for the largest and the smallest |w|, 0 for the number of weights not 0
 * @param dim the dimension counted along; negative ones count from the end
 * @param options.importanceScores the norms of these are ranked instead, of the parameter's shape
 * @param options.bias with 'mask' the biases of fallen filters fall too: a mask on `bias`, ended by
 *   `remove(module, 'bias')`. By default they stay, as in PyTorch.
 * @throws EspalierError INVALID_ARGUMENT for an amount or `dim` out of range, an unknown parameter or one
 *   of fewer than two dimensions, NaN, or `bias: 'mask'` where the slices are no filters; SHAPE_MISMATCH
 *   for scores of another shape
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const layer = new nn.Conv2d(3, 16, 3)
 * prune.lnStructured(layer, 'weight', 0.25, 2, 0, { bias: 'mask' }) // 4 filters emit nothing any more
 * ```
 */
export function lnStructured(
  module: Module,
  name: string,
  amount: number | Amount,
  n: number,
  dim: number,
  { importanceScores, of, bias }: { importanceScores?: Tensor; of?: Basis; bias?: BiasRule } = {},
): Module {
  new LnStructured(amount, n, dim, { of }).apply(module, name, { importanceScores, bias })
  return module
}
