import { asTensor, defineOp } from '../autograd/index.js'
import { describe, EspalierError } from '../native/index.js'
import { axisOf, empty, formatShape, sameDtype, type Tensor } from '../tensor/index.js'
import { gather, scatter, stridesOf } from './strided.js'
import { unsqueeze } from './unsqueeze.js'

/**
 * Tensors of one dtype, one or more, one behind the other along dimension `dim` (negative: from the end); their other dimensions
 * are equal, and those of the result.
 *
 * @throws EspalierError INVALID_ARGUMENT for no tensors or a dimension there is not, SHAPE_MISMATCH for other dimensions that differ,
 *   DTYPE_MISMATCH for several dtypes
 */
export const concat = defineOp({
  name: 'concat',
  forward(tensors: readonly Tensor[], dim: number = 0) {
    const axis = check(tensors, dim)
    const shape = [...tensors[0].shape]
    shape[axis] = tensors.reduce((sum, part) => sum + part.shape[axis], 0)
    const y = empty(shape, tensors[0].dtype)
    const strides = stridesOf(shape)
    let place = 0
    for (const part of tensors) {
      scatter(part, y, { strides, offset: place * strides[axis] })
      place += part.shape[axis]
    }
    return y
  },
  backward(grad, { args: [tensors, dim = 0], needs }) {
    const axis = axisOf('concat', dim, grad.rank)
    const strides = stridesOf(grad.shape)
    let place = 0
    return tensors.map(({ shape }, i) => {
      const offset = place * strides[axis]
      place += shape[axis]
      return needs[i] ? gather(grad, shape, { strides, offset }) : null
    })
  },
  cases: (sample): [Tensor[], number?][] => [
    [[sample([3])]],
    [[sample([3]), sample([2])]],
    [[sample([1]), sample([1]), sample([1])]],
    [[sample([0]), sample([2])]],
    [[sample([2, 3]), sample([4, 3])]],
    [[sample([2, 3]), sample([2, 2])], 1],
    [[sample([2, 3]), sample([2, 2])], -1],
    [[sample([2, 3]), sample([2, 0])], 1],
    [[sample([1, 17]), sample([2, 17])], 0],
    [[sample([3, 17]), sample([3, 16])], 1],
    [[sample([2, 3, 4]), sample([1, 3, 4])], 0],
    [[sample([2, 3, 4]), sample([2, 5, 4])], 1],
    [[sample([2, 3, 4]), sample([2, 3, 1])], 2],
    [[sample([2, 3, 4]), sample([2, 3, 1]), sample([2, 3, 2])], -1],
    [[sample([2, 1, 2, 2]), sample([2, 3, 2, 2])], 1],
    [[sample([2, 1, 2, 2]), sample([2, 3, 2, 2]), sample([2, 2, 2, 2])], -3],
    [[sample([0, 3]), sample([0, 3])], 1],
    [[sample([5, 1]), sample([5, 1]), sample([5, 1]), sample([5, 1])], 1],
    [[sample([33, 2]), sample([33, 3])], 1],
    [[sample([1]), sample([64])], 0],
  ],
})

/** Tensors of one shape along a new dimension `dim`. */
export const stack = (tensors: readonly Tensor[], dim = 0): Tensor =>
  concat(
    tensors.map((part) => unsqueeze(part, dim)),
    dim,
  )

function check(tensors: readonly Tensor[], dim: number): number {
  if (!Array.isArray(tensors) || tensors.length === 0)
    throw new EspalierError('INVALID_ARGUMENT', `concat: tensors is ${describe(tensors)}, expected an array of tensors`)
  const [first, ...others] = (tensors as readonly Tensor[]).map((part, i) => asTensor('concat', `tensors[${i}]`, part))
  if (first.rank === 0) throw new EspalierError('SHAPE_MISMATCH', 'concat: a scalar has no dimension to go along; stack makes one')
  const axis = axisOf('concat', dim, first.rank)
  for (const part of others) {
    sameDtype('concat', first, part)
    if (part.rank !== first.rank || part.shape.some((dimension, d) => d !== axis && dimension !== first.shape[d]))
      throw new EspalierError('SHAPE_MISMATCH', `concat: shapes ${formatShape(first.shape)} and ${formatShape(part.shape)} differ beyond dimension ${axis}`)
  }
  return axis
}
