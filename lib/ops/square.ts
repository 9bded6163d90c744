import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** x², elementwise. */
export const square = defineOp({
  name: 'square',
  forward: (x: Tensor) => forward('square', Unary.square, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.square, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
