import type { Module } from '../../../nn/index.js'
import type { Tensor } from '../../../tensor/index.js'
import { BasePruningMethod } from './method.js'

/** Nothing falls: the parameter only takes on the names of a pruned one. */
export class Identity extends BasePruningMethod {
  readonly pruningType = 'unstructured'

  computeMask(_: Tensor, defaultMask: Tensor): Tensor {
    return defaultMask
  }
}

/** Puts a mask on a parameter under which nothing has fallen, or leaves the mask it has as it is. */
export function identity(module: Module, name: string): Module {
  new Identity().apply(module, name)
  return module
}
