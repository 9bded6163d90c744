import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { forward } from './unary.js'

/** The nearest whole number, elementwise; halves go to the even one. It has no gradient. */
export const round = defineOp({
  name: 'round',
  forward: (x: Tensor) => forward('round', Unary.round, x),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
