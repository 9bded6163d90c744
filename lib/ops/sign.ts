import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { forward } from './unary.js'

/** −1, 0 or 1, elementwise. It has no gradient. */
export const sign = defineOp({
  name: 'sign',
  forward: (x: Tensor) => forward('sign', Unary.sign, x),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
