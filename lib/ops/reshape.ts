import { asTensor, defineOp } from '../autograd/index.js'
import type { Shape, Tensor } from '../tensor/index.js'
import { completeShape } from './operand.js'
import { reshaped } from './strided.js'

/** The same elements in another shape; one dimension may be −1. The storage is shared, not copied. */
export const reshape = defineOp({
  name: 'reshape',
  selects: true,
  forward(x: Tensor, shape: Shape) {
    asTensor('reshape', 'x', x)
    return reshaped(x, completeShape('reshape', shape, x.size))
  },
  backward: (grad, { args: [x] }) => [reshaped(grad, x.shape)],
  cases: (sample): [Tensor, Shape][] => [
    [sample([]), [1]],
    [sample([1]), []],
    [sample([1]), [1, 1, 1]],
    [sample([6]), [2, 3]],
    [sample([6]), [-1, 2]],
    [sample([2, 3]), [6]],
    [sample([2, 3]), [-1]],
    [sample([2, 3]), [3, 2]],
    [sample([2, 3, 4]), [6, 4]],
    [sample([2, 3, 4]), [2, 12]],
    [sample([2, 3, 4]), [2, -1]],
    [sample([2, 3, 4]), [4, 3, 2]],
    [sample([2, 3, 4]), [1, 24]],
    [sample([17]), [17, 1]],
    [sample([17]), [1, 17]],
    [sample([33]), [3, 11]],
    [sample([0]), [0]],
    [sample([0]), [3, 0]],
    [sample([0, 5]), [5, 0, 2]],
    [sample([5, 7]), [7, 5]],
    [sample([2, 2, 2, 2]), [4, -1]],
  ],
})
