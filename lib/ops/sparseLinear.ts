import { asTensor, defineOp } from '../autograd/index.js'
import { SparseMatrix } from '../kernels/index.js'
import { patternOn } from '../kernels/pattern.js'
import { describe, EspalierError, ensure, native, nativeOnGpu } from '../native/index.js'
import { empty, formatShape, sameDtype, type Tensor, zeros } from '../tensor/index.js'
import { linearShapes } from './cases.js'
import { linear } from './linear.js'

/**
 * x·Wᵀ + bias where W [out, in] is sparse: `values` are those of its kept entries, in the order of `matrix`, which
 * says where they stand. x is [..., in], bias [out] or null; the result is [..., out]. The gradient of `values` is
 * that of the kept entries alone; the dense one is never made. On the CPU in float32 (float64 goes through a dense
 * matrix, for gradient checks), on a GPU in every float type.
 */
export const sparseLinear = defineOp({
  name: 'sparse_linear',
  forward(x: Tensor, values: Tensor, matrix: SparseMatrix, bias?: Tensor | null) {
    const samples = checked(x, values, matrix, bias)
    if (x.device !== 'cpu') {
      const y = empty([...x.shape.slice(0, -1), matrix.rows], x.dtype)
      const pattern = patternOn(matrix, x.device)
      nativeOnGpu.sparseForward(values.storage, pattern.storage, x.storage, bias?.storage ?? null, y.storage, ...pattern.shape(samples))
      return y
    }
    if (isDense(x, matrix)) return linear.spec.forward(x, scattered(values, matrix), bias) as Tensor
    const y = empty([...x.shape.slice(0, -1), matrix.rows], x.dtype)
    const stamp = matrix.setValues(values.data as Float32Array)
    matrix.multiply(x.data as Float32Array, { bias: (bias?.data ?? null) as Float32Array | null, out: y.data as Float32Array })
    return { output: y, saved: stamp }
  },
  backward(grad, { args: [x, values, matrix, bias], saved, needs }) {
    const samples = checked(x, values, matrix, bias)
    const gradients: (Tensor | null)[] = [null, null]
    if (x.device !== 'cpu') {
      const pattern = patternOn(matrix, x.device)
      const [dx, dw, db] = [x, values, bias].map((operand, i) => (operand && needs[i] ? empty(operand.shape, operand.dtype) : null))
      if (dx) nativeOnGpu.sparseDataGrad(values.storage, pattern.storage, grad.storage, dx.storage, ...pattern.shape(samples))
      if (dw) nativeOnGpu.sparseWeightGrad(x.storage, grad.storage, pattern.storage, dw.storage, ...pattern.shape(samples))
      if (db) native.columnSum(samples, matrix.rows, grad.storage, db.storage)
      return bias ? [dx, dw, db] : [dx, dw]
    }
    if (isDense(x, matrix)) {
      const dense = linear.spec.backward?.(grad, { args: [x, scattered(values, matrix), bias], output: grad, saved: undefined, needs }) ?? []
      return [dense[0], needs[1] ? gathered(dense[1] as Tensor, matrix) : null, ...dense.slice(2)]
    }
    const dy = grad.data as Float32Array
    if (needs[0]) {
      const dx = empty(x.shape, x.dtype)
      // Another layer of the same pattern may have been here since the forward pass.
      if (matrix.stamp !== saved) matrix.setValues(values.data as Float32Array)
      matrix.multiply(dy, { transpose: true, out: dx.data as Float32Array })
      gradients[0] = dx
    }
    if (needs[1]) {
      const dw = empty(values.shape, x.dtype)
      matrix.sampled(dy, x.data as Float32Array, { out: dw.data as Float32Array })
      gradients[1] = dw
    }
    if (!bias) return gradients
    if (!needs[2]) return [...gradients, null]
    const db = empty(bias.shape, x.dtype)
    native.columnSum(samples, matrix.rows, grad.storage, db.storage)
    return [...gradients, db]
  },
  cases: (sample): [Tensor, Tensor, SparseMatrix, Tensor | null][] =>
    linearShapes.flatMap(([x, [rows, columns]], i) => {
      const mask = Uint8Array.from({ length: rows * columns }, (_, j) => Number((j * 7 + i) % 3 === 0))
      const matrix = new SparseMatrix(new Float32Array(mask.length), rows, columns, { mask })
      const call = (bias: Tensor | null): [Tensor, Tensor, SparseMatrix, Tensor | null] => [sample(x), sample([matrix.count]), matrix, bias]
      return [call(sample([rows])), call(null)]
    }),
})

/** Checks what belongs together, and returns the number of samples. */
function checked(x: Tensor, values: Tensor, matrix: SparseMatrix, bias?: Tensor | null): number {
  asTensor('sparse_linear', 'x', x)
  asTensor('sparse_linear', 'values', values)
  ensure(matrix instanceof SparseMatrix, 'INVALID_ARGUMENT', () => `sparse_linear: matrix is ${describe(matrix)}, expected a SparseMatrix`)
  const { rows, columns, count } = matrix
  if (x.rank === 0 || x.shape[x.rank - 1] !== columns)
    throw new EspalierError('SHAPE_MISMATCH', `sparse_linear: x has shape ${formatShape(x.shape)}, the matrix [${rows}, ${columns}] expects [..., ${columns}]`)
  ensure(
    values.rank === 1 && values.size === count,
    'SHAPE_MISMATCH',
    () => `sparse_linear: values have shape ${formatShape(values.shape)}, the matrix keeps ${count} entries`,
  )
  if (bias != null) {
    asTensor('sparse_linear', 'bias', bias)
    ensure(bias.rank === 1 && bias.shape[0] === rows, 'SHAPE_MISMATCH', () => `sparse_linear: bias has shape ${formatShape(bias.shape)}, expected [${rows}]`)
  }
  sameDtype('sparse_linear', x, values, bias)
  return x.shape.slice(0, -1).reduce((product, dimension) => product * dimension, 1)
}

/** Whether the product goes through a dense matrix: for precision, or because vectors without elements cannot be counted. */
const isDense = (x: Tensor, { rows, columns }: SparseMatrix): boolean => x.dtype === 'float64' || rows * columns === 0

function scattered(values: Tensor, matrix: SparseMatrix): Tensor {
  const dense = zeros([matrix.rows, matrix.columns], { dtype: values.dtype })
  for (const [i, position] of matrix.positions().entries()) dense.data[position] = values.data[i]
  return dense
}

function gathered(dense: Tensor, matrix: SparseMatrix): Tensor {
  const values = empty([matrix.count], dense.dtype)
  for (const [i, position] of matrix.positions().entries()) values.data[i] = dense.data[position]
  return values
}
