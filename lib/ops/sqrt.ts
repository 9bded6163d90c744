import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** The square root, elementwise: NaN below 0. */
export const sqrt = defineOp({
  name: 'sqrt',
  forward: (x: Tensor) => forward('sqrt', Unary.sqrt, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.sqrt, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape, { min: 0.2, max: 3 })]),
})
