import { asTensor, defineOp } from '../autograd/index.js'
import { native, Unary } from '../native/index.js'
import { empty, type Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'

/** max(x, 0), elementwise; any shape, float32 or float64. The gradient at 0 is 0. */
export const relu = defineOp({
  name: 'relu',
  forward(x: Tensor) {
    asTensor('relu', 'x', x)
    const y = empty(x.shape, x.dtype)
    native.unaryForward(Unary.relu, 0, x.data, y.data)
    return y
  },
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
