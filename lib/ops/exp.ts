import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** eˣ, elementwise. */
export const exp = defineOp({
  name: 'exp',
  forward: (x: Tensor) => forward('exp', Unary.exp, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.exp, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
