import { asTensor, defineOp } from '../autograd/index.js'
import { EspalierError } from '../native/index.js'
import { axisOf, type Tensor } from '../tensor/index.js'
import { reshaped } from './strided.js'

/** Dimensions startDim to endDim as one. The storage is shared, not copied. */
export const flatten = defineOp({
  name: 'flatten',
  selects: true,
  forward(x: Tensor, startDim: number = 0, endDim: number = -1) {
    const { shape, rank } = asTensor('flatten', 'x', x)
    const [start, end] = [axisOf('flatten', startDim, rank), axisOf('flatten', endDim, rank)]
    if (start > end) throw new EspalierError('INVALID_ARGUMENT', `flatten: startDim ${startDim} stands behind endDim ${endDim}`)
    const one = shape.slice(start, end + 1).reduce((product, dimension) => product * dimension, 1)
    return reshaped(x, [...shape.slice(0, start), one, ...shape.slice(end + 1)])
  },
  backward: (grad, { args: [x] }) => [reshaped(grad, x.shape)],
  cases: (sample): [Tensor, number?, number?][] => [
    [sample([])],
    [sample([1])],
    [sample([5])],
    [sample([0])],
    [sample([2, 3])],
    [sample([2, 3]), 0],
    [sample([2, 3]), 1],
    [sample([2, 3]), 0, 0],
    [sample([2, 3]), -1],
    [sample([2, 3, 4])],
    [sample([2, 3, 4]), 1],
    [sample([2, 3, 4]), 0, 1],
    [sample([2, 3, 4]), 1, 1],
    [sample([2, 3, 4]), -2, -1],
    [sample([2, 3, 4]), 0, -2],
    [sample([2, 3, 2, 2]), 1],
    [sample([2, 3, 2, 2]), 2],
    [sample([2, 3, 2, 2]), 1, 2],
    [sample([0, 3, 2]), 1],
    [sample([3, 0, 2]), 1],
    [sample([1, 17, 1]), 1],
  ],
})
