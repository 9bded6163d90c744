import { asTensor, defineOp } from '../autograd/index.js'
import { describe, ensure } from '../native/index.js'
import { type DType, empty, isDType, isFloat, Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'

const converted = (x: Tensor, dtype: DType): Tensor => {
  const y = empty(x.shape, dtype)
  y.data.set(x.data as never)
  return y
}

/**
 * The same values in another dtype, converted as JavaScript's typed arrays convert: to an integer type
 * towards zero and modulo its width. Of its own dtype x comes back sharing its storage. The gradient
 * is converted back; integers pass none.
 */
export const cast = defineOp({
  name: 'cast',
  forward(x: Tensor, dtype: DType) {
    asTensor('cast', 'x', x)
    ensure(isDType(dtype), 'INVALID_ARGUMENT', () => `cast: dtype is ${describe(dtype)}`)
    return dtype === x.dtype ? new Tensor(x.data, x.shape, dtype) : converted(x, dtype)
  },
  backward: (grad, { args: [x, dtype] }) => [isFloat(dtype) ? converted(grad, x.dtype) : null],
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape), 'float64']),
})
