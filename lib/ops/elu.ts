import { defineOp } from '../autograd/index.js'
import { realNumber, Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** x above 0, else alpha · (eˣ − 1), elementwise. Clevert et al. 2015. */
export const elu = defineOp({
  name: 'elu',
  forward: (x: Tensor, alpha: number = 1) => forward('elu', Unary.elu, x, realNumber('elu: alpha', alpha)),
  backward: (grad, { args: [x, alpha = 1], output }, own) => backward(Unary.elu, grad, own, x, output, alpha),
  cases: (sample) => elementwiseShapes.map((shape, i): [Tensor, number] => [sample(shape), [1, 0.5, 2][i % 3]]),
})
