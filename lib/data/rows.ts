import { describe, EspalierError, native } from '../native/index.js'
import { stack } from '../ops/index.js'
import { allocate, converted, empty, isFloat, Tensor } from '../tensor/index.js'

/** Rows of a tensor, in the order of `indices`, as a tensor of their own. */
export function gatherRows(tensor: Tensor, indices: ArrayLike<number>): Tensor {
  const [rows, ...rest] = tensor.shape
  const row = rest.reduce((product, dimension) => product * dimension, 1)
  const count = indices.length
  for (let i = 0; i < count; i++)
    if (!Number.isInteger(indices[i]) || indices[i] < 0 || indices[i] >= rows)
      throw new EspalierError('INVALID_ARGUMENT', `row ${describe(indices[i])} is asked for, there are ${rows}`)
  if (tensor.device !== 'cpu') {
    const places = indices instanceof Int32Array ? indices : Int32Array.from(indices)
    const taken = empty([count, ...rest], tensor.dtype, tensor.device)
    native.take(1, rows, row, tensor.storage, converted(places, 'int32', tensor.device), taken.storage)
    return taken
  }
  const { data: from } = tensor
  const to = allocate(tensor.dtype, count * row)
  if (isFloat(tensor.dtype) && row > 0) {
    native.embeddingForward(from, indices instanceof Int32Array ? indices : Int32Array.from(indices), to, rows, row)
    return new Tensor(to, [count, ...rest], tensor.dtype)
  }
  // A call of `set` costs as much as copying some dozens of elements: short rows are copied by hand,
  // and neighbours that stay neighbours go together.
  if (row < 32) for (let i = 0, at = 0; i < count; i++) for (let j = 0, start = indices[i] * row; j < row; j++) to[at++] = from[start + j]
  else
    for (let i = 0, end = 0; i < count; i = end) {
      for (end = i + 1; end < count && indices[end] === indices[end - 1] + 1; ) end++
      to.set(from.subarray(indices[i] * row, (indices[i] + end - i) * row) as never, i * row)
    }
  return new Tensor(to, [count, ...rest], tensor.dtype)
}

/** Tensors of one shape and dtype, one under the other in a new first dimension. */
export function stackRows(rows: readonly Tensor[]): Tensor {
  const [first] = rows
  if (first.device !== 'cpu') return stack(rows)
  const to = allocate(first.dtype, rows.length * first.size)
  for (const [i, row] of rows.entries()) {
    if (row.shape.join() !== first.shape.join() || row.dtype !== first.dtype)
      throw new EspalierError('SHAPE_MISMATCH', `the samples of a batch differ: ${row.dtype} [${row.shape}] and ${first.dtype} [${first.shape}]`)
    to.set(row.data as never, i * row.size)
  }
  return new Tensor(to, [rows.length, ...first.shape], first.dtype)
}
