import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** The natural logarithm, elementwise: −∞ at 0, NaN below. */
export const log = defineOp({
  name: 'log',
  forward: (x: Tensor) => forward('log', Unary.log, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.log, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape, { min: 0.2, max: 3 })]),
})
