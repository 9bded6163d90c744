import { asTensor, defineOp } from '../autograd/index.js'
import { ensure, native } from '../native/index.js'
import { axisOf, empty, formatShape, type Tensor } from '../tensor/index.js'
import { around } from './strided.js'

/** The parts of x at these indices (int32, one dimension) of a dimension, in their order; an index may occur again. */
export const indexSelect = defineOp({
  name: 'index_select',
  selects: true,
  forward(x: Tensor, dim: number, indices: Tensor) {
    const axis = axisOf('index_select', dim, asTensor('index_select', 'x', x).rank)
    const { dtype, rank, shape } = asTensor('index_select', 'indices', indices)
    ensure(x.rank > 0, 'SHAPE_MISMATCH', () => 'index_select: x is a scalar')
    ensure(dtype === 'int32', 'DTYPE_MISMATCH', () => `index_select: indices is ${dtype}, expected int32`)
    ensure(rank === 1, 'SHAPE_MISMATCH', () => `index_select: indices has shape ${formatShape(shape)}, expected one dimension`)
    const y = empty(x.shape.with(axis, indices.size), x.dtype)
    native.take(...around(x.shape, axis), x.storage, indices.storage, y.storage)
    return y
  },
  backward(grad, { args: [x, dim, indices] }) {
    const gradX = empty(x.shape, x.dtype)
    native.takeBackward(...around(x.shape, axisOf('index_select', dim, x.rank)), grad.storage, indices.storage, gradX.storage)
    return [gradX, null]
  },
  cases: (sample) =>
    (
      [
        [[5], 0, 3],
        [[5], 0, 0],
        [[1], 0, 4],
        [[33], 0, 17],
        [[4, 3], 0, 2],
        [[4, 3], 0, 9],
        [[4, 3], 1, 2],
        [[4, 3], -1, 5],
        [[4, 17], 0, 3],
        [[4, 17], 1, 3],
        [[2, 3, 4], 0, 3],
        [[2, 3, 4], 1, 3],
        [[2, 3, 4], 2, 3],
        [[2, 3, 4], -2, 1],
        [[2, 3, 2, 5], 1, 4],
        [[2, 3, 2, 5], 3, 4],
        [[0, 3], 1, 2],
        [[3, 0], 0, 2],
        [[64, 2], 0, 33],
        [[7, 1], 0, 7],
      ] as const
    ).map(([shape, dim, count]): [Tensor, number, Tensor] => [sample(shape), dim, sample([count], { min: 0, max: shape.at(dim), integer: true })]),
})
