import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** |x|, elementwise; the gradient at 0 is 0. */
export const abs = defineOp({
  name: 'abs',
  forward: (x: Tensor) => forward('abs', Unary.abs, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.abs, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
