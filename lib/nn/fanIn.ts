import { ensure, native, wholeNumber } from '../native/index.js'
import { empty, formatShape, isFloat, type Tensor } from '../tensor/index.js'

/**
 * A mask that keeps, for every output neuron, its `active` largest |weight|: 1 there, 0 elsewhere. A
 * neuron is a row of `weight.reshape([out, −1])`; of equal magnitudes the lower index is kept. Rows no
 * longer than `active` stay whole.
 *
 * @param weight [out, …], float32 or float64, without NaN
 * @param active inputs a neuron may keep, ≥ 0
 * @returns the mask, of the weight's shape and dtype
 */
export function fanInMask(weight: Tensor, active: number): Tensor {
  wholeNumber('fanInMask: active', active)
  const { shape, dtype, size } = weight
  ensure(
    isFloat(dtype) && shape.length > 0,
    'INVALID_ARGUMENT',
    () => `fanInMask: the weight is ${dtype} ${formatShape(shape)}, expected float32 or float64 [out, …]`,
  )
  const mask = empty(shape, dtype, weight.device)
  const columns = shape[0] === 0 ? 0 : size / shape[0]
  native.keepLargest(weight.storage, null, 1, shape[0], columns, Math.min(active, columns), mask.storage)
  return mask
}
