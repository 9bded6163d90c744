import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { forward } from './unary.js'

/** 1 where x ≥ 0, else −1, elementwise. The gradient passes straight through. */
export const bipolar = defineOp({
  name: 'bipolar',
  // The sign of 0 is 0: half a step up decides for 1.
  forward: (x: Tensor) => forward('bipolar', Unary.sign, combine('bipolar', Binary.add, forward('bipolar', Unary.sign, x), 0.5)),
  backward: (grad) => [grad],
  // A sign has no useful derivative: see test/ops/rounding.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
