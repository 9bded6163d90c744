import { asTensor, defineOp } from '../autograd/index.js'
import { EspalierError, native } from '../native/index.js'
import { broadcastShapes, empty, formatShape, type Shape, sameDtype, type Tensor } from '../tensor/index.js'

const shapes: readonly (readonly [Shape, Shape])[] = [
  [
    [1, 1],
    [1, 1],
  ],
  [
    [2, 3],
    [3, 4],
  ],
  [
    [0, 3],
    [3, 2],
  ],
  [
    [2, 0],
    [0, 3],
  ],
  [
    [2, 3],
    [3, 0],
  ],
  [[5], [5]],
  [[1], [1]],
  [[0], [0]],
  [[4], [4, 3]],
  [[3, 4], [4]],
  [[4], [2, 4, 3]],
  [[2, 3, 4], [4]],
  [
    [2, 3, 4],
    [2, 4, 5],
  ],
  [
    [2, 3, 4],
    [4, 5],
  ],
  [
    [3, 4],
    [2, 4, 5],
  ],
  [
    [2, 1, 3, 2],
    [3, 2, 4],
  ],
  [
    [1, 3, 2],
    [5, 2, 1],
  ],
  [
    [0, 3, 2],
    [2, 4],
  ],
  [
    [3, 1, 2, 2],
    [1, 4, 2, 2],
  ],
  [
    [2, 0, 2, 3],
    [1, 3, 2],
  ],
  [
    [9, 17],
    [17, 5],
  ],
  [
    [1, 33],
    [33, 1],
  ],
  [
    [15, 2],
    [2, 31],
  ],
  [
    [2, 16, 3],
    [1, 3, 9],
  ],
]

/** Both operands as stacks of matrices, and what their product is. */
interface Stacks {
  m: number
  n: number
  k: number
  /** Batch shapes of one rank. */
  a: Shape
  b: Shape
  c: Shape
  /** The result, without the dimensions that vectors lent. */
  shape: Shape
}

/**
 * The matrix product over the last two dimensions; the dimensions before them broadcast. A vector on
 * the left counts as a row, on the right as a column, and that dimension is left out of the result.
 * float32 or float64.
 */
export const matmul = defineOp({
  name: 'matmul',
  forward(a: Tensor, b: Tensor) {
    const s = stacks(a, b)
    const c = empty(s.shape, a.dtype)
    native.matmul(s.m, s.n, s.k, 0, 0, s.a, s.b, s.c, a.storage, b.storage, c.storage)
    return c
  },
  // Where an operand was stretched, the products along that dimension add up in its gradient.
  backward(grad, { args: [a, b], needs }) {
    const s = stacks(a, b)
    const da = needs[0] ? empty(a.shape, a.dtype) : null
    if (da) native.matmul(s.m, s.k, s.n, 0, 1, s.c, s.b, s.a, grad.storage, b.storage, da.storage)
    const db = needs[1] ? empty(b.shape, b.dtype) : null
    if (db) native.matmul(s.k, s.n, s.m, 1, 0, s.a, s.c, s.b, a.storage, grad.storage, db.storage)
    return [da, db]
  },
  cases: (sample) => shapes.map(([a, b]): [Tensor, Tensor] => [sample(a), sample(b)]),
})

function stacks(a: Tensor, b: Tensor): Stacks {
  asTensor('matmul', 'a', a)
  asTensor('matmul', 'b', b)
  sameDtype('matmul', a, b)
  const mismatch = () => new EspalierError('SHAPE_MISMATCH', `matmul: shapes ${formatShape(a.shape)} and ${formatShape(b.shape)} do not multiply`)
  if (a.rank === 0 || b.rank === 0) throw mismatch()
  const rowVector = a.rank === 1
  const columnVector = b.rank === 1
  let m = rowVector ? 1 : a.shape[a.rank - 2]
  const k = a.shape[a.rank - 1]
  const n = columnVector ? 1 : b.shape[b.rank - 1]
  if (k !== (columnVector ? b.shape[0] : b.shape[b.rank - 2])) throw mismatch()
  let left = a.shape.slice(0, -2)
  let right = b.shape.slice(0, -2)
  let batch = broadcastShapes('matmul', left, right)
  const shape = [...batch, ...(rowVector ? [] : [m]), ...(columnVector ? [] : [n])]
  if (right.length === 0) {
    // One matrix on the right: the whole stack on the left is one tall matrix.
    for (const dimension of left) m *= dimension
    left = right = batch = []
  }
  const align = (stack: Shape): Shape => [...Array<number>(batch.length - stack.length).fill(1), ...stack]
  return { m, n, k, a: align(left), b: align(right), c: batch, shape }
}
