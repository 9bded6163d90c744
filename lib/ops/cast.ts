import { asTensor, defineOp } from '../autograd/index.js'
import { describe, ensure } from '../native/index.js'
import { converted, type DType, isDType, isFloat, Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'

const inDType = (x: Tensor, dtype: DType): Tensor => new Tensor(converted(x.storage, dtype, x.device), x.shape, dtype)

/**
 * The same values in another dtype, converted as JavaScript's typed arrays convert: to an integer type
 * towards zero and modulo its width (on a GPU as C converts: what does not fit is undefined there). Of its
 * own dtype x comes back sharing its storage. The gradient is converted back; integers pass none.
 */
export const cast = defineOp({
  name: 'cast',
  forward(x: Tensor, dtype: DType) {
    asTensor('cast', 'x', x)
    ensure(isDType(dtype), 'INVALID_ARGUMENT', () => `cast: dtype is ${describe(dtype)}`)
    return dtype === x.dtype ? x.alias() : inDType(x, dtype)
  },
  backward: (grad, { args: [x, dtype] }) => [isFloat(dtype) ? inDType(grad, x.dtype) : null],
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape), 'float64']),
})
