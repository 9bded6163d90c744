import { wholeNumber } from '../native/index.js'
import { allocate, Tensor } from '../tensor/index.js'

/**
 * A mask that keeps, for every output neuron, its `active` largest |weight|: 1 there, 0 elsewhere. A
 * neuron is a row of `weight.reshape([out, −1])`; of equal magnitudes the lower index is kept, NaN
 * counts as the smallest. Rows no longer than `active` stay whole.
 *
 * @param weight [out, …], float32 or float64
 * @param active inputs a neuron may keep, ≥ 0
 * @returns the mask, of the weight's shape and dtype
 */
export function fanInMask(weight: Tensor, active: number): Tensor {
  wholeNumber('fanInMask: active', active)
  const { data, shape, dtype, size } = weight
  const mask = allocate(dtype, size)
  const rows = shape[0] ?? 1
  const fanIn = rows === 0 ? 0 : size / rows
  if (active >= fanIn) return new Tensor(mask.fill(1), shape, dtype)
  mask.fill(0)
  const magnitude = (i: number): number => (Number.isNaN(data[i]) ? -1 : Math.abs(data[i]))
  for (let row = 0; row < rows; row++) {
    const order = Uint32Array.from({ length: fanIn }, (_, i) => row * fanIn + i).sort((a, b) => magnitude(b) - magnitude(a) || a - b)
    for (let i = 0; i < active; i++) mask[order[i]] = 1
  }
  return new Tensor(mask, shape, dtype)
}
