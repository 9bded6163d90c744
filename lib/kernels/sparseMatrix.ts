import { describe, EspalierError, ensure, Finish, native, SparseKernel, wholeNumber } from '../native/index.js'
import { floats, maskOf, vectorsIn } from './arguments.js'

export interface SparseMatrixOptions {
  /** Which entries belong to the matrix: those where it is not 0. By default those where the weight is not 0. */
  mask?: Float32Array | Uint8Array
  /** Default 'automatic': generated code where this processor has an emitter for it, else portable. */
  kernel?: keyof typeof SparseKernel
}

export interface ProductOptions {
  /** Multiply by the transpose. Default false. */
  transpose?: boolean
  /**
   * 'rows' (the default): a vector a row, [samples, elements], as a linear layer has its batch. 'columns':
   * [elements, samples], as a convolution has its channels.
   */
  layout?: 'rows' | 'columns'
  /** Added to every result, an element a component. */
  bias?: Float32Array | null
  /** max(·, 0) of every result. Default false. */
  relu?: boolean
  /** Where the results go; by default a new array. */
  out?: Float32Array
}

// Frees the native side of matrices that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<number>((number) => native.sparseFree(number))

/**
 * A pruned weight, prepared once for its mask: its products cost what its kept entries cost. float32.
 *
 * On x86 machine code is generated for the mask, an instruction for each kept entry; the values stand apart from
 * the code, so that training changes them without making it anew. Elsewhere, and with `ESPALIER_JIT=0`, a
 * portable kernel takes its place. See docs/sparse.md.
 *
 * The native side holds the code; `dispose` (or `using`) frees it at once, the garbage collector at some time.
 *
 * @throws EspalierError DTYPE_MISMATCH for arrays that are not float32, SHAPE_MISMATCH for lengths that do not
 *   fit, INVALID_ARGUMENT for dimensions that are no whole numbers or more than 2³¹ entries
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const weight = Float32Array.of(0, 2, 0, -1, 0, 0) // 2 × 3
 * const matrix = new kernels.SparseMatrix(weight, 2, 3)
 * matrix.count // 2
 * matrix.multiply(Float32Array.of(1, 10, 100)) // [20, -1]
 * matrix.setValues(Float32Array.of(3, -2))     // the same places, other values
 * matrix.multiply(Float32Array.of(1, 10, 100)) // [30, -2]
 * matrix.dispose()
 * ```
 */
export class SparseMatrix {
  readonly rows: number
  readonly columns: number
  /** How many entries are kept. */
  readonly count: number
  #number: number

  constructor(weight: Float32Array, rows: number, columns: number, { mask, kernel = 'automatic' }: SparseMatrixOptions = {}) {
    wholeNumber('SparseMatrix: rows', rows)
    wholeNumber('SparseMatrix: columns', columns)
    floats('SparseMatrix', 'weight', weight, rows * columns)
    ensure(
      typeof kernel === 'string' && Object.hasOwn(SparseKernel, kernel),
      'INVALID_ARGUMENT',
      () => `SparseMatrix: kernel is ${describe(kernel)}, expected one of ${Object.keys(SparseKernel).join(', ')}`,
    )
    if (mask !== undefined) maskOf('SparseMatrix', mask, weight.length)
    this.rows = rows
    this.columns = columns
    this.#number = native.sparseCreate(rows, columns, weight, mask ?? null, SparseKernel[kernel])
    this.count = native.sparseSize(this.#number)
    forgotten.register(this, this.#number, this)
  }

  /** The number of the native matrix; an error after `dispose`. */
  get #live(): number {
    if (this.#number === 0) throw new EspalierError('STATE', 'SparseMatrix: the matrix was disposed of')
    return this.#number
  }

  /** The kept values, row by row and within a row by column, as a copy. */
  values(): Float32Array {
    const values = new Float32Array(this.count)
    native.sparseValues(this.#live, values)
    return values
  }

  /** Other values for the kept entries, in their order. Costs a pass over them. */
  setValues(values: Float32Array): void {
    native.sparseSetValues(this.#live, floats('setValues', 'values', values, this.count))
  }

  /** Where the kept entries stand: row · columns + column of each, in their order. */
  positions(): Int32Array {
    const positions = new Int32Array(this.count)
    native.sparsePositions(this.#live, positions)
    return positions
  }

  /** Bytes of machine code made so far: at the first product, and at the first by the transpose. */
  get codeSize(): number {
    return native.sparseCodeSize(this.#live)
  }

  /** W·x for every vector of `x`, or Wᵀ·x; `x` holds any number of vectors. */
  multiply(x: Float32Array, { transpose = false, layout = 'rows', bias = null, relu = false, out }: ProductOptions = {}): Float32Array {
    const [from, to] = transpose ? [this.rows, this.columns] : [this.columns, this.rows]
    const samples = vectorsIn('multiply', 'x', floats('multiply', 'x', x), from)
    if (bias !== null) floats('multiply', 'bias', bias, to)
    const y = out === undefined ? new Float32Array(samples * to) : floats('multiply', 'out', out, samples * to)
    native.spmm(this.#live, Number(transpose), samples, byRow('multiply', layout), x, bias, relu ? Finish.relu : Finish.none, y)
    return y
  }

  /**
   * The gradient of the kept values for a batch: for each the sum over the samples of dy at its row times x at its
   * column. The dense gradient is never made.
   */
  sampled(dy: Float32Array, x: Float32Array, { layout = 'rows', out }: { layout?: 'rows' | 'columns'; out?: Float32Array } = {}): Float32Array {
    const samples = vectorsIn('sampled', 'dy', floats('sampled', 'dy', dy), this.rows)
    floats('sampled', 'x', x, samples * this.columns)
    const values = out === undefined ? new Float32Array(this.count) : floats('sampled', 'out', out, this.count)
    native.sddmm(this.#live, samples, byRow('sampled', layout), dy, x, values)
    return values
  }

  /** Frees the code and the values; a second call does nothing. */
  dispose(): void {
    if (this.#number === 0) return
    forgotten.unregister(this)
    native.sparseFree(this.#number)
    this.#number = 0
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

function byRow(operation: string, layout: unknown): number {
  ensure(layout === 'rows' || layout === 'columns', 'INVALID_ARGUMENT', () => `${operation}: layout is ${describe(layout)}, expected 'rows' or 'columns'`)
  return Number(layout === 'rows')
}
