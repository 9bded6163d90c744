import { asTensor, type Call, defineOp, tracing } from '../autograd/index.js'
import { SparseMatrix } from '../kernels/index.js'
import { Pattern, patternOn } from '../kernels/pattern.js'
import { describe, EspalierError, ensure, native, nativeOnGpu, SparseLayout, Unary } from '../native/index.js'
import {
  allocatePanels,
  empty,
  emptyInPanels,
  formatShape,
  type PanelTensor,
  packed,
  panelsOf,
  recycle,
  type Shape,
  sameDtype,
  sameShape,
  type Tensor,
  zeros,
} from '../tensor/index.js'
import { linearShapes } from './cases.js'
import { linear } from './linear.js'

type Arguments<Matrix = SparseMatrix | Pattern> = [x: Tensor, values: Tensor, matrix: Matrix, bias?: Tensor | null, rectified?: boolean]

/** What the forward pass leaves for the gradients: how often values were set, and x in panels where the product packed it. */
interface Saved {
  readonly stamp: number
  /** Null where x itself is in panels, or nobody will ask for the values' gradient; absent where the product took rows. */
  readonly x?: Float32Array | null
}

/**
 * x·Wᵀ + bias where W [out, in] is sparse: `values` are those of its kept entries, in the order of `matrix`, which says
 * where they stand; where it keeps all they may be W itself. x is [..., in], bias [out] or null; the result is
 * [..., out]. With `rectified` max(·, 0) of that, as `relu` has it. The gradient of `values` is that of the kept entries
 * alone; the dense one is never made. On the CPU in float32 (float64 goes through a dense matrix, for gradient checks),
 * on a GPU in every float type, where a `Pattern` of that GPU will do for the matrix.
 *
 * @throws EspalierError SHAPE_MISMATCH where x, values or bias do not fit the matrix; DTYPE_MISMATCH for several types;
 * INVALID_ARGUMENT for a matrix that is no SparseMatrix; DEVICE_MISMATCH for a pattern elsewhere
 */
export const sparseLinear = defineOp({
  name: 'sparse_linear',
  forward(x: Tensor, values: Tensor, matrix: SparseMatrix | Pattern, bias?: Tensor | null, rectified?: boolean) {
    const samples = checked(x, values, matrix, bias)
    const shape = [...x.shape.slice(0, -1), matrix.rows]
    if (x.device !== 'cpu' || matrix instanceof Pattern) {
      const y = empty(shape, x.dtype)
      const pattern = patternOn(matrix, x.device)
      nativeOnGpu.sparseForward(values.storage, pattern.storage, x.storage, bias?.storage ?? null, y.storage, ...pattern.shape(samples))
      return { output: rectified ? inPlace(y) : y, saved: undefined }
    }
    if (isDense(x, matrix)) {
      const y = linear.spec.forward(x, scattered(values, matrix), bias) as Tensor
      return { output: rectified ? inPlace(y) : y, saved: undefined }
    }
    const stamp = matrix.setValues(values.storage as Float32Array)
    const plus = (bias?.storage ?? null) as Float32Array | null
    if (!worksOnPanels(matrix, samples)) {
      const y = empty(shape, x.dtype)
      matrix.multiply(x.storage as Float32Array, { bias: plus, out: y.storage as Float32Array })
      return { output: rectified ? inPlace(y) : y, saved: { stamp } as Saved }
    }
    // Kept for the gradient of the values, which takes panels too: packing x anew took a tenth of that product.
    const own = panelsOf(x) === null ? packed(x) : null
    const y = emptyInPanels(shape)
    matrix.multiply(own ?? (panelsOf(x) as Float32Array), { layout: 'panels', samples, bias: plus, relu: rectified, out: y.panels as Float32Array })
    return { output: y, saved: { stamp, x: own } as Saved, held: own ?? undefined }
  },
  backward(grad, { args: [x, values, matrix, bias, rectified], output, saved, needs }, own) {
    if (saved?.x !== undefined) return inPanels(grad, { args: [x, values, matrix as SparseMatrix, bias, rectified], output, saved, needs }, own)
    const dz = rectified ? passed(grad, output, own) : grad
    const gradients = inRows(dz, { args: [x, values, matrix, bias], output, saved, needs })
    if (dz !== grad) dz.release()
    return gradients
  },
  cases: (sample): Arguments[] =>
    linearShapes.flatMap(([x, [rows, columns]], i) => {
      const mask = Uint8Array.from({ length: rows * columns }, (_, j) => Number((j * 7 + i) % 3 === 0))
      const matrix = new SparseMatrix(new Float32Array(mask.length), rows, columns, { mask })
      const call = (bias: Tensor | null, rectified = false): Arguments => [sample(x), sample([matrix.count]), matrix, bias, rectified]
      return [call(sample([rows])), call(null), call(sample([rows]), true)]
    }),
})

/** The gradients where the forward pass took rows. */
function inRows(dz: Tensor, { args: [x, values, matrix, bias], saved, needs }: Call<Arguments, Saved | undefined>): (Tensor | null)[] {
  const samples = checked(x, values, matrix, bias)
  if (x.device !== 'cpu' || matrix instanceof Pattern) {
    const [dx, dw, db] = [x, values, bias].map((operand, i) => (operand && needs[i] ? empty(operand.shape, operand.dtype) : null))
    const pattern = patternOn(matrix, x.device)
    if (dx) nativeOnGpu.sparseDataGrad(values.storage, pattern.storage, dz.storage, dx.storage, ...pattern.shape(samples))
    if (dw) nativeOnGpu.sparseWeightGrad(x.storage, dz.storage, pattern.storage, dw.storage, ...pattern.shape(samples))
    if (db) native.columnSum(samples, matrix.rows, dz.storage, db.storage)
    return bias ? [dx, dw, db] : [dx, dw]
  }
  if (isDense(x, matrix)) {
    const dense = linear.spec.backward?.(dz, { args: [x, scattered(values, matrix), bias], output: dz, saved: undefined, needs }) ?? []
    return [dense[0], needs[1] ? gathered(dense[1] as Tensor, matrix, values.shape) : null, ...dense.slice(2)]
  }
  const [dx, dw, db] = [x, values, bias].map((operand, i) => (operand && needs[i] ? empty(operand.shape, operand.dtype) : null))
  const dy = dz.storage as Float32Array
  if (dx) {
    restoreValues(matrix, values, saved)
    matrix.multiply(dy, { transpose: true, out: dx.storage as Float32Array })
  }
  if (dw) matrix.sampled(dy, x.storage as Float32Array, { out: dw.storage as Float32Array })
  if (db) native.columnSum(samples, matrix.rows, dz.storage, db.storage)
  return bias ? [dx, dw, db] : [dx, dw]
}

/** The gradients where it took panels. */
function inPanels(
  grad: Tensor,
  { args: [x, values, matrix, bias, rectified], output, saved, needs }: Call<Arguments<SparseMatrix>, Saved>,
  own?: boolean,
): (Tensor | null)[] {
  const samples = checked(x, values, matrix, bias)
  const dy = panelsOf(grad)
  // Packed, cut by the ReLU and added up in one go, once for both products.
  const dz = dy !== null && (own || !rectified) ? dy : allocatePanels(grad.shape)
  const db = bias && needs[2] ? empty(bias.shape, bias.dtype) : null
  const [y, freshY] = rectified ? inOwnPanels(output) : [null, null]
  if (dz !== dy || rectified || db !== null)
    native.finishGrad(samples, matrix.rows, dy === null ? SparseLayout.rows : SparseLayout.panels, dy ?? grad.storage, y, dz, db?.storage ?? null)
  let dx: PanelTensor | null = null
  if (needs[0]) {
    dx = emptyInPanels(x.shape)
    restoreValues(matrix, values, saved)
    matrix.multiply(dz, { transpose: true, layout: 'panels', samples, out: dx.panels as Float32Array })
  }
  let dw: Tensor | null = null
  if (needs[1]) {
    dw = empty(values.shape, values.dtype)
    const [ofX, freshX] = saved.x ? [saved.x, null] : inOwnPanels(x)
    matrix.sampled(dz, ofX, { layout: 'panels', samples, out: dw.storage as Float32Array })
    if (freshX !== null) recycle(freshX)
  }
  if (freshY !== null) recycle(freshY)
  if (dz !== dy) recycle(dz)
  return bias ? [dx, dw, db] : [dx, dw]
}

/** A tensor's panels; packed for the caller alone, the second of the pair, where someone looked at its elements meanwhile. */
function inOwnPanels(tensor: Tensor): [panels: Float32Array, fresh: Float32Array | null] {
  const present = panelsOf(tensor)
  if (present !== null) return [present, null]
  const fresh = packed(tensor)
  return [fresh, fresh]
}

/** Sets the values of the forward pass again where others were set since: layers may share a matrix. */
function restoreValues(matrix: SparseMatrix, values: Tensor, saved: Saved | undefined): void {
  if (matrix.stamp !== saved?.stamp) matrix.setValues(values.storage as Float32Array)
}

// Of fewer samples than a panel has, the lanes left over would cost as much as those of use.
const fewestInPanels = 16
/** Whether the matrix's product with so many samples works on panels, as that of every format but `vector` does. */
export const worksOnPanels = (matrix: SparseMatrix, samples: number): boolean =>
  samples >= fewestInPanels && !tracing() && matrix.formatFor(samples) !== 'vector'

/** max(y, 0) in the place of y. */
function inPlace(y: Tensor): Tensor {
  native.unaryForward(Unary.relu, 0, 0, y.storage, y.storage)
  return y
}

/** grad where y = max(·, 0) let it pass; in its place where it may be written to. */
function passed(grad: Tensor, y: Tensor, own: boolean | undefined): Tensor {
  const dz = own ? grad : empty(grad.shape, grad.dtype)
  native.unaryBackward(Unary.relu, 0, 0, y.storage, y.storage, grad.storage, dz.storage)
  return dz
}

/** Checks what belongs together, and returns the number of samples. */
function checked(x: Tensor, values: Tensor, matrix: SparseMatrix | Pattern, bias?: Tensor | null): number {
  asTensor('sparse_linear', 'x', x)
  asTensor('sparse_linear', 'values', values)
  ensure(
    matrix instanceof SparseMatrix || matrix instanceof Pattern,
    'INVALID_ARGUMENT',
    () => `sparse_linear: matrix is ${describe(matrix)}, expected a SparseMatrix`,
  )
  const { rows, columns, count } = matrix
  if (x.rank === 0 || x.shape[x.rank - 1] !== columns)
    throw new EspalierError('SHAPE_MISMATCH', `sparse_linear: x has shape ${formatShape(x.shape)}, the matrix [${rows}, ${columns}] expects [..., ${columns}]`)
  ensure(
    values.size === count && (values.rank === 1 || (count === rows * columns && sameShape(values.shape, [rows, columns]))),
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

function gathered(dense: Tensor, matrix: SparseMatrix, shape: Shape): Tensor {
  const values = empty(shape, dense.dtype)
  for (const [i, position] of matrix.positions().entries()) values.data[i] = dense.data[position]
  return values
}
