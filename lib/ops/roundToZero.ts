import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { forward } from './unary.js'

/**
 * The whole number next to x towards 0, elementwise: a magnitude never grows. The gradient passes
 * straight through.
 */
export const roundToZero = defineOp({
  name: 'round_to_zero',
  forward(x: Tensor) {
    const magnitude = forward('roundToZero', Unary.abs, x)
    const nearest = forward('roundToZero', Unary.round, magnitude)
    // 1 where the nearest lies above, ½ where it is the magnitude itself, which rounds to 0.
    const above = forward('roundToZero', Unary.round, combine('roundToZero', Binary.greater, nearest, magnitude))
    const below = combine('roundToZero', Binary.sub, nearest, above)
    return combine('roundToZero', Binary.mul, forward('roundToZero', Unary.sign, x), below)
  },
  backward: (grad) => [grad],
  // Rounding has no useful derivative: see test/ops/rounding.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
