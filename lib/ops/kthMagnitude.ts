import { asTensor, defineOp } from '../autograd/index.js'
import { native, wholeNumber } from '../native/index.js'
import { axisOf, empty, type Shape, type Tensor } from '../tensor/index.js'
import { magnitudeGradient } from './magnitude.js'

export interface KthMagnitudeOptions {
  /** A dimension with a result for each of its indices; by default one for all. */
  axis?: number
}

/**
 * The k-th smallest |x|, 1 ≤ k ≤ x.size: a scalar. With `axis` the k-th smallest along each of that
 * dimension's indices, 1 ≤ k ≤ x.size / x.shape[axis], shaped to broadcast over x. The gradient goes to the element it was taken from,
 * the first of equals. A percentile of the magnitudes, for the thresholds of quantisers.
 */
export const kthMagnitude = defineOp({
  name: 'kth_magnitude',
  forward(x: Tensor, k: number, { axis }: KthMagnitudeOptions = {}) {
    asTensor('kthMagnitude', 'x', x)
    const kept = axis === undefined ? null : axisOf('kthMagnitude', axis, x.rank)
    const shape: Shape = kept === null ? [] : x.shape.map((dimension, i) => (i === kept ? dimension : 1))
    const output = empty(shape, x.dtype)
    const channels = output.size
    wholeNumber('kthMagnitude: k', k, 1, channels === 0 ? 1 : x.size / channels)
    const inner = kept === null ? x.size : x.shape.slice(kept + 1).reduce((size, dimension) => size * dimension, 1)
    const at = empty([channels], 'int32')
    if (channels > 0) native.absKth(x.storage, x.size / (channels * inner), channels, inner, k, output.storage, at.storage)
    return { output, saved: at }
  },
  backward: (grad, { args: [x], saved }) => [magnitudeGradient(grad, x, saved)],
  cases: (sample) =>
    Array.from({ length: 20 }, (_, i): [Tensor, number, KthMagnitudeOptions] =>
      i % 4 === 3
        ? [sample([2, 3, i], { distinct: true, min: 0.1, max: 3 }), 1 + (i % 5), { axis: (i % 3) - 1 }]
        : [sample([i + 1], { distinct: true, min: 0.1, max: 3 }), 1 + Math.floor(i / 2), {}],
    ),
})
