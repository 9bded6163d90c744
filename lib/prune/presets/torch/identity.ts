import type { Module } from '../../../nn/index.js'
import { full, type Tensor } from '../../../tensor/index.js'
import type { Ranked } from '../../drawMasks.js'
import { BasePruningMethod } from './method.js'

/** Nothing falls: the parameter only takes on the names of a pruned one. */
export class Identity extends BasePruningMethod {
  readonly pruningType = 'unstructured'

  computeMask(_: Tensor, defaultMask: Tensor): Tensor {
    return defaultMask
  }

  /** @internal */
  override masksAfter(weights: readonly Ranked[]): Tensor[] {
    return weights.map(({ weight, mask }) => mask ?? full(weight.shape, 1, { dtype: weight.dtype }))
  }
}

/** Puts a mask on a parameter under which nothing has fallen, or leaves the mask it has as it is. */
export function identity(module: Module, name: string): Module {
  new Identity().apply(module, name)
  return module
}
