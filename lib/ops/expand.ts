import { asTensor, defineOp } from '../autograd/index.js'
import { EspalierError } from '../native/index.js'
import { formatShape, type Shape, sizeOf, type Tensor } from '../tensor/index.js'
import { sumTo } from './binary.js'
import { expanded } from './strided.js'

/** x repeated to a shape: new leading dimensions, and dimensions of 1 stretched; −1 keeps one as it is. Copies. */
export const expand = defineOp({
  name: 'expand',
  selects: true,
  forward(x: Tensor, shape: Shape) {
    asTensor('expand', 'x', x)
    const lead = shape.length - x.rank
    const full = shape.map((dimension, d) => (dimension === -1 && d >= lead ? x.shape[d - lead] : dimension))
    sizeOf(full)
    if (lead < 0 || x.shape.some((dimension, d) => dimension !== 1 && dimension !== full[d + lead]))
      throw new EspalierError('SHAPE_MISMATCH', `expand: shape ${formatShape(x.shape)} does not stretch to ${formatShape(shape)}`)
    return expanded(x, full)
  },
  backward: (grad, { args: [x] }) => [sumTo(grad, x.shape)],
  cases: (sample): [Tensor, Shape][] => [
    [sample([]), []],
    [sample([]), [3]],
    [sample([]), [2, 3]],
    [sample([1]), [5]],
    [sample([1]), [0]],
    [sample([3]), [3]],
    [sample([3]), [2, 3]],
    [sample([3]), [4, 2, -1]],
    [sample([17]), [3, 17]],
    [sample([2, 1]), [2, 3]],
    [sample([1, 3]), [2, 3]],
    [sample([1, 3]), [2, -1]],
    [sample([1, 1]), [4, 5]],
    [sample([3, 1, 1]), [2, 3, 2, 2]],
    [sample([1, 3, 1]), [2, 3, 4]],
    [sample([2, 1, 4]), [2, 3, 4]],
    [sample([2, 1, 1]), [2, 3, 33]],
    [sample([0, 1]), [0, 3]],
    [sample([1, 0]), [2, 0]],
    [sample([1, 2, 1, 2]), [3, 2, 3, 2]],
  ],
})

/** `expand`, by the name other libraries give it. */
export const broadcastTo = (x: Tensor, shape: Shape): Tensor => expand(x, shape)
