import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** The hyperbolic tangent, elementwise; the shape is kept. */
export const tanh = defineOp({
  name: 'tanh',
  forward: (x: Tensor) => forward('tanh', Unary.tanh, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.tanh, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
