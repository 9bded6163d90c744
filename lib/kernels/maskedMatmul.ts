import { Finish, native, wholeNumber } from '../native/index.js'
import { applyMask } from './applyMask.js'
import { floats, maskOf, vectorsIn } from './arguments.js'
import { densestSparse, type MaskArray, Remembered } from './remembered.js'
import { SparseMatrix } from './sparseMatrix.js'

export interface MaskedOptions {
  /** Added to every result, an element a row of the weight (a channel of the output). */
  bias?: Float32Array | null
  /** max(·, 0) of every result. Default false. */
  relu?: boolean
  /** Where the results go; by default a new array. */
  out?: Float32Array
}

const matrices = new Remembered<SparseMatrix>('maskedMatmul')

/**
 * x·(weight ∘ mask)ᵀ + bias, as a masked linear layer has it: x is [samples, columns], weight and mask are
 * [rows, columns], the mask of zeros and ones, the result is [samples, rows].
 *
 * What the mask leaves out costs nothing: weight ∘ mask is not made, sparse kernels multiply by what is kept. They are
 * prepared once for a mask (the array, and what it holds). Masks that keep more than three in five go through the
 * dense product.
 *
 * @throws EspalierError DTYPE_MISMATCH for arrays that are not float32 (the mask may be uint8), SHAPE_MISMATCH for
 *   lengths that do not fit, INVALID_ARGUMENT for a mask of other values
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const weight = Float32Array.of(1, 2, 3, 4, 5, 6) // 2 × 3
 * kernels.maskedMatmul(Float32Array.of(1, 10, 100), weight, Uint8Array.of(0, 1, 0, 0, 0, 1), 2) // [20, 600]
 * ```
 */
export function maskedMatmul(
  x: Float32Array,
  weight: Float32Array,
  mask: MaskArray,
  rows: number,
  { bias = null, relu = false, out }: MaskedOptions = {},
): Float32Array {
  wholeNumber('maskedMatmul: rows', rows, 1)
  floats('maskedMatmul', 'weight', weight)
  const columns = vectorsIn('maskedMatmul', 'weight', weight, rows)
  maskOf('maskedMatmul', mask, weight.length)
  const samples = vectorsIn('maskedMatmul', 'x', floats('maskedMatmul', 'x', x), columns)
  if (bias !== null) floats('maskedMatmul', 'bias', bias, rows)
  const matrix = matrices.for(
    mask,
    weight,
    `${rows}`,
    (kept) => kept <= densestSparse * mask.length,
    () => new SparseMatrix(weight, rows, columns, { mask }),
  )
  if (matrix !== null) return matrix.multiply(x, { bias, relu, out })
  const y = out === undefined ? new Float32Array(samples * rows) : floats('maskedMatmul', 'out', out, samples * rows)
  const masked = applyMask(weight, mask)
  native.gemm(1, x, masked, 0, null, bias, relu ? Finish.relu : Finish.none, y, samples, rows, columns, 0, 1, Math.max(columns, 1), Math.max(columns, 1), rows)
  return y
}
