import { defineOp } from '../autograd/index.js'
import { realNumber, Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** x above 0, else negativeSlope · x, elementwise; the gradient at 0 is negativeSlope. */
export const leakyRelu = defineOp({
  name: 'leaky_relu',
  forward: (x: Tensor, negativeSlope: number = 0.01) => forward('leaky_relu', Unary.leakyRelu, x, realNumber('leaky_relu: negativeSlope', negativeSlope)),
  backward: (grad, { args: [x, negativeSlope = 0.01], output }, own) => backward(Unary.leakyRelu, grad, own, x, output, negativeSlope),
  cases: (sample) => elementwiseShapes.map((shape, i): [Tensor, number] => [sample(shape), [0.01, 0.2, -0.5][i % 3]]),
})
