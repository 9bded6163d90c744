import { defineOp } from '../../autograd/index.js'
import { native } from '../../native/index.js'
import type { MaskGradient } from '../../nn/index.js'
import { elementwiseShapes } from '../../ops/cases.js'
import { empty, type Tensor } from '../../tensor/index.js'

/**
 * weight · mask, the gradient passed to the whole weight as if nothing were masked: a masked weight
 * goes on learning and may come back when the mask is drawn anew. Bengio et al. 2013; for pruning,
 * Hu et al. 2023 (DPU).
 */
export const straightThrough: MaskGradient = defineOp({
  name: 'mask_straight_through',
  forward(weight: Tensor, mask: Tensor) {
    const masked = empty(weight.shape, weight.dtype)
    native.applyMask(weight.storage, mask.storage, masked.storage)
    return masked
  },
  backward: (grad) => [grad, null],
  // No central difference agrees with it: see test/prune/togglePruning.test.ts for what it gives.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape): [Tensor, Tensor] => [sample(shape), sample(shape)]),
})
