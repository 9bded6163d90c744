import { asTensor, defineOp } from '../autograd/index.js'
import { describe, EspalierError } from '../native/index.js'
import { axisOf, type Tensor } from '../tensor/index.js'
import { gather, stridesOf } from './strided.js'

/** The dimensions in another order: dimension i of the result is dimension dims[i] of x. Copies. */
export const permute = defineOp({
  name: 'permute',
  selects: true,
  forward: (x: Tensor, dims: readonly number[]) => permuted(asTensor('permute', 'x', x), orderOf(x, dims)),
  backward: (grad, { args: [x, dims] }) => {
    const order = orderOf(x, dims)
    return [
      permuted(
        grad,
        order.map((_, d) => order.indexOf(d)),
      ),
    ]
  },
  cases: (sample): [Tensor, readonly number[]][] => [
    [sample([]), []],
    [sample([5]), [0]],
    [sample([2, 3]), [1, 0]],
    [sample([2, 3]), [0, 1]],
    [sample([33, 17]), [1, 0]],
    [sample([1, 17]), [1, 0]],
    [sample([0, 3]), [1, 0]],
    [sample([2, 3, 4]), [0, 2, 1]],
    [sample([2, 3, 4]), [1, 0, 2]],
    [sample([2, 3, 4]), [1, 2, 0]],
    [sample([2, 3, 4]), [2, 0, 1]],
    [sample([2, 3, 4]), [2, 1, 0]],
    [sample([2, 3, 4]), [-1, 0, -2]],
    [sample([2, 1, 4]), [1, 2, 0]],
    [sample([2, 3, 2, 5]), [0, 2, 3, 1]],
    [sample([2, 3, 2, 5]), [0, 3, 1, 2]],
    [sample([2, 3, 2, 5]), [3, 2, 1, 0]],
    [sample([2, 3, 2, 5]), [1, 0, 3, 2]],
    [sample([3, 0, 2]), [2, 1, 0]],
    [sample([2, 2, 2, 2, 2]), [4, 2, 0, 1, 3]],
  ],
})

function permuted(x: Tensor, order: readonly number[]): Tensor {
  const strides = stridesOf(x.shape)
  return gather(
    x,
    order.map((d) => x.shape[d]),
    { strides: order.map((d) => strides[d]), offset: 0 },
  )
}

function orderOf({ rank }: Tensor, dims: readonly number[]): number[] {
  if (!Array.isArray(dims) || dims.length !== rank)
    throw new EspalierError('INVALID_ARGUMENT', `permute: dims is ${describe(dims)}, expected each of the ${rank} dimensions once`)
  const order = (dims as readonly number[]).map((dim) => axisOf('permute', dim, rank))
  if (new Set(order).size !== rank) throw new EspalierError('INVALID_ARGUMENT', `permute: dims ${describe(dims)} names a dimension twice`)
  return order
}
