import { asTensor, defineOp } from '../autograd/index.js'
import { SparseMatrix } from '../kernels/index.js'
import { Pattern } from '../kernels/pattern.js'
import { describe, EspalierError, ensure } from '../native/index.js'
import { formatShape, recycle, sameDtype, sameShape, type Tensor } from '../tensor/index.js'
import { linearShapes } from './cases.js'
import { keptOf, spread } from './keptEntries.js'
import { linear } from './linear.js'
import { sparseLinear } from './sparseLinear.js'

type Arguments = [x: Tensor, weight: Tensor, matrix: SparseMatrix | Pattern, bias?: Tensor | null, ofKept?: boolean]

/**
 * x·weightᵀ + bias, as `linear`, by the entries of the weight that `matrix` keeps: the others are taken for 0. The
 * weight's gradient is that of all entries, as a dense product has it: for rules by which masked weights learn. With
 * `ofKept` it is that of the kept ones, and 0 elsewhere.
 *
 * @throws EspalierError SHAPE_MISMATCH where x, weight or bias do not fit the matrix; DTYPE_MISMATCH for several types;
 * INVALID_ARGUMENT for a matrix that is no SparseMatrix; DEVICE_MISMATCH for a pattern elsewhere
 */
export const maskedLinear = defineOp({
  name: 'masked_linear',
  forward(x: Tensor, weight: Tensor, matrix: SparseMatrix | Pattern, bias?: Tensor | null, ofKept = false) {
    check(x, weight, matrix)
    const values = keptOf(weight, matrix)
    const made = sparseLinear.spec.forward(x, values, matrix, bias)
    if (!('output' in made)) return { output: made, saved: { values, saved: undefined } }
    const { output, saved, held } = made
    if (held === undefined || ofKept) return { output, saved: { values, saved }, held: held ?? values.storage }
    // Only the gradient of the values reads the panels packed of x, and that of the whole weight takes rows.
    recycle(held)
    return { output, saved: { values, saved: saved && { ...saved, x: null } }, held: values.storage }
  },
  backward(grad, { args: [x, weight, matrix, bias, ofKept], output, saved: { values, saved }, needs }) {
    const sparse = [needs[0], needs[1] && ofKept === true, ...needs.slice(2)]
    const [dx, dvalues = null, db = null] = sparseLinear.spec.backward?.(grad, { args: [x, values, matrix, bias], output, saved, needs: sparse }) ?? []
    let dw: Tensor | null = null
    if (dvalues !== null) {
      dw = spread(dvalues, matrix, weight.shape)
      dvalues.release()
    } else if (needs[1]) dw = linear.spec.backward?.(grad, { args: [x, weight], output, saved: undefined, needs: [false, true] })[1] ?? null
    return bias ? [dx, dw, db] : [dx, dw]
  },
  // The gradient of entries that the product does not read: see test/nn/masked.test.ts for what it gives.
  estimator: true,
  cases: (sample): Arguments[] =>
    linearShapes.flatMap(([x, [rows, columns]], i) => {
      const mask = Uint8Array.from({ length: rows * columns }, (_, j) => Number((j * 7 + i) % 3 === 0))
      const call = (bias: Tensor | null, ofKept?: boolean): Arguments => [
        sample(x),
        sample([rows, columns]),
        new SparseMatrix(new Float32Array(mask.length), rows, columns, { mask }),
        bias,
        ofKept,
      ]
      return [call(sample([rows])), call(null), call(sample([rows]), true)]
    }),
})

/** Checks what the entries of the weight are read by; the rest is the sparse product's to check. */
function check(x: Tensor, weight: Tensor, matrix: SparseMatrix | Pattern): void {
  asTensor('masked_linear', 'x', x)
  asTensor('masked_linear', 'weight', weight)
  const isPattern = matrix instanceof Pattern
  ensure(isPattern || matrix instanceof SparseMatrix, 'INVALID_ARGUMENT', () => `masked_linear: matrix is ${describe(matrix)}, expected a SparseMatrix`)
  const { rows, columns } = matrix
  ensure(
    sameShape(weight.shape, [rows, columns]),
    'SHAPE_MISMATCH',
    () => `masked_linear: weight has shape ${formatShape(weight.shape)}, the matrix is [${rows}, ${columns}]`,
  )
  sameDtype('masked_linear', x, weight)
  if (isPattern && matrix.storage.device !== weight.device)
    throw new EspalierError('DEVICE_MISMATCH', `masked_linear: the weight is on ${weight.device}, the pattern on ${matrix.storage.device}`)
}
