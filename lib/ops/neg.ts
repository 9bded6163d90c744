import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** −x, elementwise. */
export const neg = defineOp({
  name: 'neg',
  forward: (x: Tensor) => forward('neg', Unary.neg, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.neg, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
