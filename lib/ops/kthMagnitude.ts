import { asTensor, defineOp } from '../autograd/index.js'
import { native, wholeNumber } from '../native/index.js'
import { empty, type Tensor } from '../tensor/index.js'
import { magnitudeGradient } from './magnitude.js'

/**
 * The k-th smallest |x|, 1 ≤ k ≤ x.size: a scalar. The gradient goes to the element it was taken from,
 * the first of equals. A percentile of the magnitudes, for the thresholds of quantisers.
 */
export const kthMagnitude = defineOp({
  name: 'kth_magnitude',
  forward(x: Tensor, k: number) {
    asTensor('kthMagnitude', 'x', x)
    wholeNumber('kthMagnitude: k', k, 1, x.size)
    const output = empty([], x.dtype)
    const at = empty([1], 'int32')
    native.absKth(x.storage, 1, 1, x.size, k, output.storage, at.storage)
    return { output, saved: at }
  },
  backward: (grad, { args: [x], saved }) => [magnitudeGradient(grad, x, saved)],
  cases: (sample) => Array.from({ length: 20 }, (_, i): [Tensor, number] => [sample([i + 1], { distinct: true, min: 0.1, max: 3 }), 1 + Math.floor(i / 2)]),
})
