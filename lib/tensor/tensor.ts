import { describe, EspalierError, ensure, type NativeArray } from '../native/index.js'
import { type ArrayOf, arrayConstructor, type DType, dtypeOf, isDType } from './dtype.js'
import { formatTensor } from './format.js'
import { allocate } from './memory.js'
import type { Quantisation } from './quantisation.js'
import { formatShape, type Shape, sizeOf } from './shape.js'

/** Numbers nested as deep as the tensor has dimensions. */
export type Nested = number | readonly Nested[]

/** What made a tensor, for the backward walk. Autograd fills it in; a tensor only carries it. */
export interface Origin {
  readonly order: number
}

export interface TensorOptions {
  /** Element type; float32 unless the data is a typed array of another one. */
  dtype?: DType
  /** Whether `backward` should leave a gradient in `grad`. */
  requiresGrad?: boolean
}

/**
 * A dense, row-major array with a shape, and, where asked for, a gradient.
 *
 * Operations are functions of `ops` and methods here (`a.add(b)`); none changes its operands.
 * `data` is the storage itself: writing to it changes the tensor and every other view of it.
 */
export class Tensor {
  grad: Tensor | null = null
  /** @internal */
  origin: Origin | null = null
  /** The integer codes behind the values, where a quantiser made them: value = code · scale. */
  quantisation: Quantisation | null = null

  /** @internal Use `tensor`, `zeros`, …: this trusts its arguments. */
  constructor(
    readonly data: NativeArray,
    readonly shape: Shape,
    readonly dtype: DType,
    public requiresGrad = false,
  ) {}

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return this.data.length
  }

  /** The only element's value. */
  item(): number {
    ensure(this.size === 1, 'SHAPE_MISMATCH', () => `item: the tensor has shape ${formatShape(this.shape)}, expected one element`)
    return this.data[0]
  }

  /** The values nested as the shape says; a scalar gives a number. */
  toArray(): Nested {
    let offset = 0
    const nest = (axis: number): Nested => (axis === this.rank ? this.data[offset++] : Array.from({ length: this.shape[axis] }, () => nest(axis + 1)))
    return nest(0)
  }

  /** Laid out as NumPy prints an array. */
  toString(): string {
    return formatTensor(this)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return `Tensor ${formatShape(this.shape)} ${this.dtype}\n${this.toString()}`
  }

  /** The same storage, apart from the tape: gradients stop here. */
  detach(): Tensor {
    return new Tensor(this.data, this.shape, this.dtype)
  }

  /** A copy in storage of its own, apart from the tape. */
  copy(): Tensor {
    const data = allocate(this.dtype, this.size)
    data.set(this.data as never)
    return new Tensor(data, this.shape, this.dtype)
  }
}

const sameData = (value: unknown): value is NativeArray => ArrayBuffer.isView(value) && dtypeOf(value as NativeArray) !== undefined

/**
 * A tensor of these values: nested arrays, one number, or a typed array with its shape. A typed array
 * of the tensor's own dtype is taken as it is, without a copy.
 *
 * @example
 * ```ts
 * import { tensor } from 'espalier'
 * const a = tensor([[1, 2], [3, 4]])          // shape [2, 2], float32
 * const b = tensor(new Int32Array([7, 8, 9])) // shape [3], int32, shares the array
 * const c = tensor(new Float32Array(6), [2, 3])
 * ```
 */
export function tensor(values: Nested | NativeArray | Tensor, shapeOrOptions: Shape | TensorOptions = {}, more: TensorOptions = {}): Tensor {
  const shapeGiven = Array.isArray(shapeOrOptions)
  const options = (shapeGiven ? more : shapeOrOptions) as TensorOptions
  const { requiresGrad = false } = options
  ensure(options.dtype === undefined || isDType(options.dtype), 'INVALID_ARGUMENT', () => `tensor: dtype is ${describe(options.dtype)}`)
  if (values instanceof Tensor) values = values.data
  if (ArrayBuffer.isView(values)) {
    ensure(sameData(values), 'DTYPE_MISMATCH', () => `tensor: a ${describe(values)} is not an array a tensor can hold`)
    ensure(values.buffer.byteLength > 0 || values.length === 0 || !shapeGiven, 'INVALID_ARGUMENT', () => 'tensor: the array is detached')
    const dtype = options.dtype ?? (dtypeOf(values) as DType)
    const shape = shapeGiven ? [...(shapeOrOptions as Shape)] : [values.length]
    const size = sizeOf(shape)
    ensure(
      size === values.length,
      'SHAPE_MISMATCH',
      () => `tensor: shape ${formatShape(shape)} has ${size} elements, the array ${(values as NativeArray).length}`,
    )
    const data = dtype === dtypeOf(values) ? values : convert(values, dtype)
    return new Tensor(data, shape, dtype, requiresGrad)
  }
  const shape: number[] = []
  for (let level: unknown = values; Array.isArray(level); level = level[0]) shape.push(level.length)
  const dtype = options.dtype ?? 'float32'
  const data = allocate(dtype, sizeOf(shape))
  let next = 0
  const fill = (level: unknown, axis: number): void => {
    if (axis === shape.length) {
      ensure(typeof level === 'number', 'INVALID_ARGUMENT', () => `tensor: ${describe(level)} is not a number`)
      data[next++] = level
      return
    }
    ensure(Array.isArray(level) && level.length === shape[axis], 'SHAPE_MISMATCH', () => `tensor: the rows of dimension ${axis} differ in length`)
    for (const item of level) fill(item, axis + 1)
  }
  fill(values, 0)
  if (!shapeGiven) return new Tensor(data, shape, dtype, requiresGrad)
  const asked = [...(shapeOrOptions as Shape)]
  ensure(sizeOf(asked) === data.length, 'SHAPE_MISMATCH', () => `tensor: shape ${formatShape(asked)} has ${sizeOf(asked)} elements, the values ${data.length}`)
  return new Tensor(data, asked, dtype, requiresGrad)
}

function convert<D extends DType>(values: NativeArray, dtype: D): ArrayOf<D> {
  const data = allocate(dtype, values.length)
  data.set(values as never)
  return data
}

/** An uninitialised tensor, for an operation about to write all of it. */
export function empty(shape: Shape, dtype: DType = 'float32'): Tensor {
  return new Tensor(allocate(dtype, sizeOf(shape)), shape, dtype)
}

/** A tensor of one value everywhere. */
export function full(shape: Shape, value: number, { dtype = 'float32', requiresGrad = false }: TensorOptions = {}): Tensor {
  const data = allocate(dtype, sizeOf(shape))
  data.fill(value)
  return new Tensor(data, [...shape], dtype, requiresGrad)
}

export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options)
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options)

/** The values 0, 1, …, n−1. */
export function arange(n: number, options: TensorOptions = {}): Tensor {
  return tensor(
    arrayConstructor('float64').from({ length: sizeOf([n]) }, (_, i) => i),
    { dtype: 'float32', ...options },
  )
}

/** An error for an operand that is no tensor, or of another dtype than the first. */
export function sameDtype(operation: string, first: Tensor, ...others: (Tensor | null | undefined)[]): void {
  for (const other of others)
    if (other && other.dtype !== first.dtype) throw new EspalierError('DTYPE_MISMATCH', `${operation}: a ${other.dtype} tensor meets a ${first.dtype} one`)
}
