import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** 1 / (1 + e⁻ˣ), elementwise; the shape is kept. */
export const sigmoid = defineOp({
  name: 'sigmoid',
  forward: (x: Tensor) => forward('sigmoid', Unary.sigmoid, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.sigmoid, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
