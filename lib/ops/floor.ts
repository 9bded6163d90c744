import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { forward } from './unary.js'

/** The largest whole number that is not above x, elementwise. The gradient passes straight through. */
export const floor = defineOp({
  name: 'floor',
  forward(x: Tensor) {
    const nearest = forward('floor', Unary.round, x)
    // 1 where the nearest lies above, ½ where it is x itself, which rounds to 0.
    return combine('floor', Binary.sub, nearest, forward('floor', Unary.round, combine('floor', Binary.greater, nearest, x)))
  },
  backward: (grad) => [grad],
  // Rounding has no useful derivative: see test/ops/rounding.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
