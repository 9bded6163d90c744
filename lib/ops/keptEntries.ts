// The kept entries of a weight, taken out of it and put back, where it lies.
import { type Pattern, type Placed, patternOn } from '../kernels/pattern.js'
import { native } from '../native/index.js'
import { empty, gathered, type Shape, type Tensor, zeros } from '../tensor/index.js'

/** The entries of a weight that are kept, one after the other. */
export function keptOf(weight: Tensor, matrix: Placed | Pattern): Tensor {
  if (weight.device === 'cpu') return gathered(weight, { positions: (matrix as Placed).places })
  const values = empty([matrix.count], weight.dtype)
  patternOn(matrix, weight.device).gather(weight.storage, values.storage)
  return values
}

/** The reverse: 0 where none is kept. */
export function spread(values: Tensor, matrix: Placed | Pattern, shape: Shape): Tensor {
  const dense = zeros(shape, { dtype: values.dtype })
  if (values.device === 'cpu') native.scatterKept(values.storage, (matrix as Placed).places, dense.storage)
  else patternOn(matrix, values.device).scatter(values.storage, dense.storage)
  return dense
}
