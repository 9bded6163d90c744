import { defineOp } from '../autograd/index.js'
import { realNumber, Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** x to the power of a number, elementwise; NaN where x is negative and the exponent no whole number. */
export const pow = defineOp({
  name: 'pow',
  forward: (x: Tensor, exponent: number) => forward('pow', Unary.pow, x, realNumber('pow: exponent', exponent)),
  backward: (grad, { args: [x, exponent], output }, own) => backward(Unary.pow, grad, own, x, output, exponent),
  cases: (sample) => elementwiseShapes.map((shape, i): [Tensor, number] => [sample(shape, { min: 0.2, max: 2 }), [2, 3, 0.5, -1, 1.7, -2.5, 0, 1][i % 8]]),
})
