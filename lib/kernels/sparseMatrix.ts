import { describe, EspalierError, Finish, native, SparseFormat, SparseLayout, wholeNumber } from '../native/index.js'
import { floats, maskOf } from './arguments.js'
import { lengthOfVectors, type SampleLayout, samplesIn } from './vectors.js'

/**
 * How a matrix is held and multiplied. `docs/sparse.md` says what each costs.
 *
 * - 'automatic': for each product what is expected to be the fastest of those that hold the mask
 * - 'generated': any mask; machine code, an instruction an entry
 * - 'rows': any mask; compressed rows, on every processor
 * - 'vector': any mask; for a sample or a few, where what counts is bytes
 * - 'fan-in': as many entries in each row
 * - '2:4', '1:4', '4:8', …: at most N of each M neighbours in a row
 * - '4x1', '8x1', '1x4', '4x4', …: blocks of that many rows by that many columns, kept or dropped whole
 * - 'channels': whole rows and columns dropped
 * - 'dense': nothing dropped
 */
export type Format = 'automatic' | 'generated' | 'rows' | 'vector' | 'fan-in' | `${number}:${number}` | `${number}x${number}` | 'channels' | 'dense'

export interface SparseMatrixOptions {
  /** Which entries belong to the matrix: those where it is not 0. By default those where the weight is not 0. */
  mask?: Float32Array | Uint8Array
  /** Default 'automatic'. */
  format?: Format
}

export interface ProductOptions {
  /** Multiply by the transpose. Default false. */
  transpose?: boolean
  /** Default 'rows'. */
  layout?: SampleLayout
  /** How many samples there are: 'panels' alone cannot tell. By default as many as the panels hold. */
  samples?: number
  /** Added to every result, an element a component. */
  bias?: Float32Array | null
  /** max(·, 0) of every result. Default false. */
  relu?: boolean
  /** Where the results go; by default a new array. */
  out?: Float32Array
}

/** What [the product, its data gradient, its weight gradient] are expected to take, in nanoseconds. */
export interface Costs {
  readonly sparse: Float64Array
  readonly dense: Float64Array
}

// Frees the native side of matrices that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<number>((number) => native.sparseFree(number))

/**
 * A pruned weight, prepared once for its mask: its products cost what its kept entries cost. float32.
 *
 * On x86 machine code is generated for the mask, an instruction for each kept entry; the values stand apart from
 * the code, so that training changes them without making it anew. Elsewhere, and with `ESPALIER_JIT=0`, portable
 * kernels take its place; for structured masks, and for few samples, there are others. See docs/sparse.md.
 *
 * The native side holds the code; `dispose` (or `using`) frees it at once, the garbage collector at some time.
 *
 * @throws EspalierError DTYPE_MISMATCH for arrays that are not float32, SHAPE_MISMATCH for lengths that do not
 *   fit, INVALID_ARGUMENT for dimensions that are no whole numbers or more than 2³¹ entries, and for a mask that the
 *   format cannot hold (the message says where)
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
  #stamp = 0
  #places: Int32Array | null = null
  #retired = false
  readonly #format: readonly [SparseFormat, readonly number[]]

  constructor(weight: Float32Array, rows: number, columns: number, { mask, format = 'automatic' }: SparseMatrixOptions = {}) {
    wholeNumber('SparseMatrix: rows', rows)
    wholeNumber('SparseMatrix: columns', columns)
    floats('SparseMatrix', 'weight', weight, rows * columns)
    this.#format = parsedFormat(format)
    if (mask !== undefined) maskOf('SparseMatrix', mask, weight.length)
    this.rows = rows
    this.columns = columns
    this.#number = native.sparseCreate(rows, columns, weight, mask ?? null, ...this.#format)
    this.count = native.sparseSize(this.#number)
    forgotten.register(this, this.#number, this)
  }

  /** The number of the native matrix; an error after `dispose`. */
  get #live(): number {
    if (this.#number !== 0) return this.#number
    if (!this.#retired) throw new EspalierError('STATE', 'SparseMatrix: the matrix was disposed of')
    const { rows, columns, places } = this
    const mask = new Uint8Array(rows * columns)
    for (const place of places) mask[place] = 1
    this.#number = native.sparseCreate(rows, columns, new Float32Array(mask.length), mask, ...this.#format)
    forgotten.register(this, this.#number, this)
    return this.#number
  }

  /** The kept values, row by row and within a row by column, as a copy. */
  values(): Float32Array {
    const values = new Float32Array(this.count)
    native.sparseValues(this.#live, values)
    return values
  }

  /**
   * Other values for the kept entries, in their order. Costs a copy, and in the next product each way a pass.
   *
   * @returns what `stamp` is until values are set again
   */
  setValues(values: Float32Array): number {
    native.sparseSetValues(this.#live, floats('setValues', 'values', values, this.count))
    return ++this.#stamp
  }

  /** How often values were set: who set them knows by it whether they are still there. */
  get stamp(): number {
    return this.#stamp
  }

  /** The matrix with zeros where nothing is kept, [rows, columns]. */
  unpack(): Float32Array {
    const weight = new Float32Array(this.rows * this.columns)
    native.sparseUnpack(this.#live, weight)
    return weight
  }

  /** The format of the product with so many samples, as 'automatic' chose it or as was asked. Default of many. */
  formatFor(samples = 256): Format {
    return native.sparseFormatOf(this.#live, wholeNumber('formatFor: samples', samples)) as Format
  }

  /** The format of the product with many samples. */
  get format(): Format {
    return this.formatFor()
  }

  /**
   * What the three products of a layer's training step are expected to take: W·X, Wᵀ·dY, the gradient of the weight;
   * by this matrix, and by dense products. Nanoseconds, for ranking.
   * @internal
   */
  costs(samples: number): Costs {
    const [sparse, dense] = [new Float64Array(3), new Float64Array(3)]
    native.sparseCosts(this.#live, samples, sparse, dense)
    return { sparse, dense }
  }

  /** Nanoseconds that the product with so many samples is expected to take on one core: a model, for ranking. */
  cost(samples = 256): number {
    return native.sparseCost(this.#live, wholeNumber('cost: samples', samples))
  }

  /** Bytes held so far: values, indices and machine code. They grow with the first product of each kind. */
  get bytes(): number {
    return native.sparseBytes(this.#live)
  }

  /** `positions` not copied: to be read alone. @internal */
  get places(): Int32Array {
    if (this.#places === null) {
      this.#places = new Int32Array(this.count)
      native.sparsePositions(this.#live, this.#places)
    }
    return this.#places
  }

  /** Where the kept entries stand: row · columns + column of each, in their order. */
  positions(): Int32Array {
    return this.places.slice()
  }

  /** Bytes of machine code made so far: at the first product, and at the first by the transpose. */
  get codeSize(): number {
    return native.sparseCodeSize(this.#live)
  }

  /**
   * Nanoseconds spent so far on making the matrix and, at the first product of each kind, its code, tables and
   * transpose. Measured, unlike `cost`; nothing depends on it.
   */
  get makingTime(): number {
    return native.sparseMakingTime(this.#live)
  }

  /** W·x for every vector of `x`, or Wᵀ·x; `x` holds any number of vectors. */
  multiply(x: Float32Array, { transpose = false, layout = 'rows', samples, bias = null, relu = false, out }: ProductOptions = {}): Float32Array {
    const [from, to] = transpose ? [this.rows, this.columns] : [this.columns, this.rows]
    const count = samplesIn('multiply', 'x', floats('multiply', 'x', x), from, layout, samples)
    if (bias !== null) floats('multiply', 'bias', bias, to)
    const y = out === undefined ? new Float32Array(lengthOfVectors(to, layout, count)) : floats('multiply', 'out', out, lengthOfVectors(to, layout, count))
    native.spmm(this.#live, Number(transpose), count, SparseLayout[layout], x, bias, relu ? Finish.relu : Finish.none, y)
    return y
  }

  /**
   * The gradient of the kept values for a batch: for each the sum over the samples of dy at its row times x at its
   * column. The dense gradient is never made.
   */
  sampled(
    dy: Float32Array,
    x: Float32Array,
    { layout = 'rows', samples, out }: { layout?: SampleLayout; samples?: number; out?: Float32Array } = {},
  ): Float32Array {
    const count = samplesIn('sampled', 'dy', floats('sampled', 'dy', dy), this.rows, layout, samples)
    floats('sampled', 'x', x, lengthOfVectors(this.columns, layout, count))
    const values = out === undefined ? new Float32Array(this.count) : floats('sampled', 'out', out, this.count)
    native.sddmm(this.#live, count, SparseLayout[layout], dy, x, values)
    return values
  }

  /**
   * Frees the code and the values of a matrix that is probably not needed again. Whoever does need it finds them made
   * anew, with other values: a gradient that has yet to pass, where the mask has changed.
   * @internal
   */
  retire(): void {
    this.places
    this.dispose()
    this.#retired = true
    this.#stamp++
  }

  /** Frees the code and the values; a second call does nothing. */
  dispose(): void {
    this.#retired = false
    if (this.#number === 0) return
    forgotten.unregister(this)
    native.sparseFree(this.#number)
    this.#number = 0
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

const plainFormats: Record<string, SparseFormat> = {
  automatic: SparseFormat.automatic,
  generated: SparseFormat.generated,
  rows: SparseFormat.rows,
  vector: SparseFormat.vector,
  'fan-in': SparseFormat.fanIn,
  channels: SparseFormat.channels,
  dense: SparseFormat.dense,
}

function parsedFormat(format: unknown): [SparseFormat, number[]] {
  if (typeof format === 'string' && Object.hasOwn(plainFormats, format)) return [plainFormats[format], []]
  const [, first, sign, second] = (typeof format === 'string' && /^(\d+)([:x])(\d+)$/.exec(format)) || []
  if (sign === undefined)
    throw new EspalierError(
      'INVALID_ARGUMENT',
      `SparseMatrix: format is ${describe(format)}, expected one of ${Object.keys(plainFormats).join(', ')}, N:M or RxC`,
    )
  return [sign === ':' ? SparseFormat.nOfM : SparseFormat.blocks, [Number(first), Number(second)]]
}
