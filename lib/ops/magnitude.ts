import { Binary, native, Unary } from '../native/index.js'
import { converted, empty, type Tensor, zeros } from '../tensor/index.js'

/** The gradient of |x| at some places, counted through the whole of x (int32): sign(x)·grad there, 0 elsewhere. */
export function magnitudeGradient(grad: Tensor, x: Tensor, places: Tensor): Tensor {
  if (x.size === 0) return zeros(x.shape, { dtype: x.dtype })
  const part = empty(places.shape, x.dtype)
  native.take(1, x.size, 1, x.storage, places.storage, part.storage)
  native.unaryForward(Unary.sign, 0, 0, part.storage, part.storage)
  native.binaryForward(Binary.mul, part.storage, grad.dtype === x.dtype ? grad.storage : converted(grad.storage, x.dtype, x.device), part.storage)
  const gradX = empty(x.shape, x.dtype)
  native.maxPoolBackward(part.storage, places.storage, gradX.storage, 1, x.size, places.size)
  return gradX
}
