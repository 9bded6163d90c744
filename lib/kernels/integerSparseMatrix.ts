import { describe, EspalierError, ensure, Finish, IntegerKernel, native, SparseLayout, wholeNumber } from '../native/index.js'
import { lengthOfVectors, type SampleLayout, samplesIn } from './vectors.js'

/**
 * How an integer matrix is multiplied. `docs/sparse.md` says how each works.
 *
 * - 'automatic': what is expected to be the fastest of those that can be had
 * - 'rows': entries anywhere, on every processor
 * - 'signs': weights −1 and 1 in sums of 16 bits, which must be proved to be enough; machine code
 * - '1x4': blocks of four neighbours in a row; those that are not whole are filled up
 * - 'dense': every entry
 * - 'vector': one sample or few, entries anywhere; what 'automatic' takes for few, whatever it is for others
 */
export type IntegerKernelName = 'automatic' | 'rows' | 'signs' | '1x4' | 'dense' | 'vector'

/** Codes of 8 bits, or float32 that hold such. */
export type CodeArray = Uint8Array | Int8Array | Float32Array

export interface IntegerSparseMatrixOptions {
  /** Which entries belong to the matrix: those where neither it nor the weight is 0. By default the weight alone says. */
  mask?: Uint8Array
  /** Default 'automatic'. */
  kernel?: IntegerKernelName
  /** The codes that X may hold, inclusive, within [0, 255] or within [−128, 127]. Default [0, 255]. */
  range?: readonly [low: number, high: number]
  /**
   * How wide the sums of many samples are, 16 or 32; few may be summed in 32. By default whatever is the fastest of what is
   * proved to hold every sum.
   */
  bits?: 16 | 32
}

export interface IntegerProductOptions<Out> {
  /** Default 'rows'. */
  layout?: SampleLayout
  /** How many samples there are: 'panels' alone cannot tell. By default as many as the panels hold. */
  samples?: number
  /** Added to every sum, an element a row. A sum that it takes out of 32 bits wraps. */
  start?: Int32Array | null
  /** max(·, 0) of every result. Default false. */
  relu?: boolean
  /** Where the results go; by default a new array. */
  out?: Out
}

// Frees the native side of matrices that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<number>((number) => native.sparseIntegerFree(number))

const kernels: Record<IntegerKernelName, IntegerKernel> = {
  automatic: IntegerKernel.automatic,
  rows: IntegerKernel.rows,
  signs: IntegerKernel.signs,
  '1x4': IntegerKernel.blocks,
  dense: IntegerKernel.dense,
  vector: IntegerKernel.vector,
}

/**
 * A pruned weight of whole numbers of 8 bits, prepared once: products with codes of 8 bits, exact.
 *
 * What its sums can come to follows from the weights and the range of the codes: `neededBits` says how wide they get,
 * and a width that does not hold them is refused. Codes outside of the range count as its nearest end. The native side
 * is freed by `dispose` (or `using`) at once, by the garbage collector at some time.
 *
 * @throws EspalierError DTYPE_MISMATCH for a weight that is no Int8Array, SHAPE_MISMATCH for lengths that do not fit,
 *   INVALID_ARGUMENT for a range or a width that does not hold (the message says what would), and for a kernel that
 *   cannot be had for this weight on this processor
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const weight = Int8Array.of(0, 2, 0, -1, 0, 0) // 2 × 3
 * const matrix = new kernels.IntegerSparseMatrix(weight, 2, 3)
 * matrix.multiply(Uint8Array.of(1, 10, 100)) // [20, -1]
 * matrix.neededBits // 10: 2 · 255 is the most, −255 the least
 * matrix.multiply(Uint8Array.of(1, 10, 100), { start: Int32Array.of(5, 0), relu: true }) // [25, 0]
 * matrix.dispose()
 * ```
 */
export class IntegerSparseMatrix {
  readonly rows: number
  readonly columns: number
  /** How many entries are kept. */
  readonly count: number
  #number: number

  constructor(weight: Int8Array, rows: number, columns: number, { mask, kernel = 'automatic', range = [0, 255], bits }: IntegerSparseMatrixOptions = {}) {
    wholeNumber('IntegerSparseMatrix: rows', rows)
    wholeNumber('IntegerSparseMatrix: columns', columns)
    typed('IntegerSparseMatrix', 'weight', weight, Int8Array, rows * columns)
    if (mask !== undefined) typed('IntegerSparseMatrix', 'mask', mask, Uint8Array, rows * columns)
    ensure(
      typeof kernel === 'string' && Object.hasOwn(kernels, kernel),
      'INVALID_ARGUMENT',
      () => `IntegerSparseMatrix: kernel is ${describe(kernel)}, expected one of ${Object.keys(kernels).join(', ')}`,
    )
    ensure(
      Array.isArray(range) && range.length === 2 && range.every((end) => Number.isInteger(end)),
      'INVALID_ARGUMENT',
      () => `IntegerSparseMatrix: range is ${describe(range)}, expected two whole numbers`,
    )
    this.rows = rows
    this.columns = columns
    this.#number = native.sparseIntegerCreate(rows, columns, weight, mask ?? null, kernels[kernel], range[0], range[1], bits ?? 0)
    this.count = native.sparseIntegerSize(this.#number)
    forgotten.register(this, this.#number, this)
  }

  /** The number of the native matrix; an error after `dispose`. */
  get #live(): number {
    if (this.#number === 0) throw new EspalierError('STATE', 'IntegerSparseMatrix: the matrix was disposed of')
    return this.#number
  }

  /** The matrix with zeros where nothing is kept, [rows, columns]. */
  unpack(): Int8Array {
    const weight = new Int8Array(this.rows * this.columns)
    native.sparseIntegerUnpack(this.#live, weight)
    return weight
  }

  /** What multiplies many samples, as 'automatic' chose it or as was asked. */
  get kernel(): IntegerKernelName {
    return native.sparseIntegerKernelOf(this.#live) as IntegerKernelName
  }

  /** The bits of the sums of many samples; few may be summed in 32. */
  get sumBits(): number {
    return native.sparseIntegerSumBits(this.#live)
  }

  /** The least bits of two's complement that hold every partial sum, in whatever order, start values apart. */
  get neededBits(): number {
    return native.sparseIntegerNeededBits(this.#live)
  }

  /** Nanoseconds that the product with so many samples is expected to take on one core: a model, for ranking. */
  cost(samples = 256): number {
    return native.sparseIntegerCost(this.#live, wholeNumber('cost: samples', samples))
  }

  /** Bytes held: entries, indices and machine code. */
  get bytes(): number {
    return native.sparseIntegerBytes(this.#live)
  }

  /** Bytes of machine code. */
  get codeSize(): number {
    return native.sparseIntegerCodeSize(this.#live)
  }

  /** W·x + start for every vector of `x`: int32 of codes of 8 bits, float32 of codes held as float32. */
  multiply(x: Float32Array, options?: IntegerProductOptions<Float32Array>): Float32Array
  multiply(x: Uint8Array | Int8Array, options?: IntegerProductOptions<Int32Array>): Int32Array
  multiply(x: CodeArray, options: IntegerProductOptions<Float32Array> | IntegerProductOptions<Int32Array> = {}): Float32Array | Int32Array {
    const { layout = 'rows', samples, start = null, relu = false, out } = options
    ensure(
      x instanceof Uint8Array || x instanceof Int8Array || x instanceof Float32Array,
      'DTYPE_MISMATCH',
      () => `multiply: x is ${describe(x)}, expected a Uint8Array, an Int8Array or a Float32Array`,
    )
    const count = samplesIn('multiply', 'x', x, this.columns, layout, samples)
    if (start !== null) typed('multiply', 'start', start, Int32Array, this.rows)
    const Sums = x instanceof Float32Array ? Float32Array : Int32Array
    const length = lengthOfVectors(this.rows, layout, count)
    const y = out === undefined ? new Sums(length) : typed<Float32Array | Int32Array>('multiply', 'out', out, Sums, length)
    native.integerSpmm(this.#live, count, SparseLayout[layout], x, start, relu ? Finish.relu : Finish.none, y)
    return y
  }

  /** Frees the native side; a second call does nothing. */
  dispose(): void {
    if (this.#number === 0) return
    forgotten.unregister(this)
    native.sparseIntegerFree(this.#number)
    this.#number = 0
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

/** `value` as an array of that type and length; else an error that names it. */
function typed<T extends ArrayBufferView & { length: number }>(
  operation: string,
  name: string,
  value: unknown,
  type: { new (length: number): T; name: string },
  length: number,
): T {
  ensure(
    value instanceof type,
    'DTYPE_MISMATCH',
    () => `${operation}: ${name} is ${describe(value)}, expected ${/^[AEIOU]/.test(type.name) ? 'an' : 'a'} ${type.name}`,
  )
  ensure(value.length === length, 'SHAPE_MISMATCH', () => `${operation}: ${name} has ${value.length} elements, expected ${length}`)
  return value
}
