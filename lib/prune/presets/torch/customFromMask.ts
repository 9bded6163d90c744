import { native } from '../../../native/index.js'
import type { Module } from '../../../nn/index.js'
import { empty, type Tensor } from '../../../tensor/index.js'
import { BasePruningMethod } from './method.js'
import { converted } from './restricted.js'

/** What a mask of yours says. */
export class CustomFromMask extends BasePruningMethod {
  readonly pruningType = 'global'

  constructor(readonly mask: Tensor) {
    super()
  }

  computeMask(t: Tensor, defaultMask: Tensor): Tensor {
    const combined = empty(t.shape, t.dtype)
    native.applyMask(converted(defaultMask, t).data, converted(this.mask, t).data, combined.data)
    return combined
  }
}

/**
 * Multiplies a parameter's mask by one of yours, of its shape and any dtype: what fell before never
 * comes back, and entries other than 0 and 1 scale.
 *
 * @throws EspalierError SHAPE_MISMATCH for a mask of another shape; INVALID_ARGUMENT for NaN
 */
export function customFromMask(module: Module, name: string, mask: Tensor): Module {
  new CustomFromMask(mask).apply(module, name)
  return module
}
