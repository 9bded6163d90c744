import { defineOp, noGrad } from '../../autograd/index.js'
import { native, realNumber } from '../../native/index.js'
import type { MaskGradient } from '../../nn/index.js'
import { elementwiseShapes } from '../../ops/cases.js'
import { add, mul, sub } from '../../ops/index.js'
import { empty, type Tensor } from '../../tensor/index.js'

/**
 * weight · mask; the gradient passes to the whole weight, and to masked ones λ·weight is added, which draws them
 * to 0, so that masks settle. Zhou et al. 2021, λ = 2·10⁻⁴.
 */
export function srSte(lambda = 2e-4): MaskGradient {
  realNumber('srSte: lambda', lambda, 0)
  return (weight, mask) => maskSrSte(weight, mask, lambda)
}

const maskSrSte = defineOp({
  name: 'mask_sr_ste',
  forward(weight: Tensor, mask: Tensor, _: number) {
    const masked = empty(weight.shape, weight.dtype)
    native.applyMask(weight.storage, mask.storage, masked.storage)
    return masked
  },
  backward(grad, { args: [weight, mask, lambda] }) {
    const fallen = noGrad(() => sub(weight, mul(weight, mask)))
    return [noGrad(() => add(grad, mul(fallen, lambda))), null]
  },
  // No central difference agrees with it: see test/prune/gradients.test.ts for what it gives.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape): [Tensor, Tensor, number] => [sample(shape), sample(shape), 0.1]),
})
