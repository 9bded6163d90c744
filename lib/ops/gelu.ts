import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** Gaussian error linear unit x·Φ(x), Φ the normal distribution, elementwise. Hendrycks & Gimpel 2016. */
export const gelu = defineOp({
  name: 'gelu',
  forward: (x: Tensor) => forward('gelu', Unary.gelu, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.gelu, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
