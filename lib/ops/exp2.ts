import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { onHost } from './onHost.js'
import { floatTensor } from './operand.js'

/** 2ˣ, elementwise and exact for whole x: scales that are learned by their logarithm. For few elements. */
export const exp2 = defineOp({
  name: 'exp2',
  forward(x: Tensor) {
    floatTensor('exp2', 'x', x)
    return onHost(x, (value) => 2 ** value)
  },
  backward: (grad, { output }) => [combine('exp2', Binary.mul, grad, combine('exp2', Binary.mul, output, Math.LN2))],
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
