import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** max(x, 0), elementwise; the shape is kept. The gradient at 0 is 0. */
export const relu = defineOp({
  name: 'relu',
  forward: (x: Tensor) => forward('relu', Unary.relu, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.relu, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
