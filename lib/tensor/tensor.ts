import { type Device, DeviceArray, describe, deviceNamed, EspalierError, ensure, type NativeArray, type Storage, wholeNumber } from '../native/index.js'
import { type DType, dtypeOf, type HostDType, isDType, isFloat, isHalf, wideOf } from './dtype.js'
import { formatTensor } from './format.js'
import { allocate, recycle } from './memory.js'
import { allocateStorage, ambientDevice, converted, deviceOf, fill, hostValues } from './placement.js'
import type { Quantisation } from './quantisation.js'
import { formatShape, maxRank, type Shape, sizeOf } from './shape.js'

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
  /** Where it is made: 'cpu' (the default), 'cuda' or 'cuda:1', …. */
  device?: Device
}

/**
 * A dense, row-major array with a shape, and, where asked for, a gradient.
 *
 * Operations are functions of `ops` and methods here (`a.add(b)`); none changes its operands.
 * `data` is the storage itself: writing to it changes the tensor and every other view of it. A tensor on
 * a GPU has none to show; `to('cpu')` makes a copy that has.
 */
export class Tensor {
  // The gradient, and whether it may be in someone's hands: then its storage is never used again.
  private gradient: Tensor | null = null
  private gradientShared = false

  /** @internal */
  origin: Origin | null = null
  /**
   * Whether its elements may be in someone's hands, who may read and write them at any time: `data` was read, or another
   * tensor shares them.
   * @internal
   */
  shown = false
  /** The integer codes behind the values, where a quantiser made them: value = code · scale. */
  quantisation: Quantisation | null = null

  /** @internal Use `tensor`, `zeros`, …: this trusts its arguments. */
  constructor(
    /** @internal What kernels take: the elements, in this process's memory or on a device. */
    readonly storage: Storage,
    readonly shape: Shape,
    readonly dtype: DType,
    public requiresGrad = false,
  ) {}

  /** `tensor` under the name collections use: `Tensor.from([[1, 2], [3, 4]])`. */
  static from(values: Nested | NativeArray | Tensor, shapeOrOptions: Shape | TensorOptions = {}, more: TensorOptions = {}): Tensor {
    return tensor(values, shapeOrOptions, more)
  }

  /**
   * The elements, row by row.
   * @throws EspalierError STATE for a tensor on a GPU
   */
  get data(): NativeArray {
    this.shown = true
    const { storage } = this
    if (storage instanceof DeviceArray)
      throw new EspalierError('STATE', `data: the tensor, shape ${formatShape(this.shape)}, is on ${storage.device}; JavaScript sees it after .to('cpu')`)
    return storage
  }

  /** Where it lives: 'cpu', 'cuda' (the first GPU), 'cuda:1', …. */
  get device(): Device {
    return deviceOf(this.storage)
  }

  /** The gradient that `backward` left here, or null. It stays as it is when a later one replaces it. */
  get grad(): Tensor | null {
    this.gradientShared = true
    return this.gradient
  }
  set grad(gradient: Tensor | null) {
    this.gradient = gradient
    this.gradientShared = true
  }

  /**
   * The gradient for a look that keeps no hold of it.
   * @internal
   */
  peekGrad(): Tensor | null {
    return this.gradient
  }

  /**
   * Leaves a gradient whose storage nothing else refers to.
   * @internal
   */
  leaveGrad(gradient: Tensor, alone: boolean): void {
    gradient.keep()
    this.gradient = gradient
    this.gradientShared = !alone
  }

  /** Drops the gradient. */
  dropGrad(): void {
    if (this.gradient !== null && !this.gradientShared) this.gradient.release()
    this.gradient = null
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length
  }

  /** Number of elements. */
  get size(): number {
    return this.storage.length
  }

  /** The only element's value. */
  item(): number {
    ensure(this.size === 1, 'SHAPE_MISMATCH', () => `item: the tensor has shape ${formatShape(this.shape)} and ${this.size} elements, expected one`)
    return hostValues(this.storage)[0]
  }

  /** The values nested as the shape says; a scalar gives a number. */
  toArray(): Nested {
    requireStorage('toArray', this)
    let offset = 0
    const data = hostValues(this.storage)
    const nest = (axis: number): Nested => (axis === this.rank ? data[offset++] : Array.from({ length: this.shape[axis] }, () => nest(axis + 1)))
    return nest(0)
  }

  /** Laid out as NumPy prints an array. */
  toString(): string {
    requireStorage('toString', this)
    const { shape, dtype } = this
    return formatTensor({ data: hostValues(this.storage), shape, dtype: isHalf(dtype) ? 'float32' : dtype })
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    const values = holdsShape(this) ? this.toString() : '(its storage was taken away)'
    return `Tensor ${formatShape(this.shape)} ${this.dtype}${this.device === 'cpu' ? '' : ` on ${this.device}`}\n${values}`
  }

  /** The same storage, apart from the tape: gradients stop here. */
  detach(): Tensor {
    return this.alias()
  }

  /**
   * Another tensor of the same elements, in whatever shape, apart from the tape.
   * @internal
   */
  alias(shape: Shape = this.shape): Tensor {
    const made = new Tensor(this.storage, shape, this.dtype)
    made.shown = this.shown = true
    return made
  }

  /** A copy in storage of its own, apart from the tape. */
  copy(): Tensor {
    requireStorage('copy', this)
    return new Tensor(converted(this.storage, this.dtype, this.device), this.shape, this.dtype)
  }

  /**
   * Takes back its storage, which nothing else refers to.
   * @internal
   */
  release(): void {
    recycle(this.storage)
  }

  /** Lets it outlive the scope it was made in; see `scope`. */
  keep(): this {
    if (this.storage instanceof DeviceArray) this.storage.kept = true
    return this
  }

  /**
   * Frees its device memory, and that of every tensor that shares it, at once: using one of them is an
   * error from then on. A tensor on the CPU is freed when nothing refers to it, and stays.
   */
  dispose(): void {
    if (this.storage instanceof DeviceArray) this.storage.dispose()
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

const holdsShape = ({ storage, shape }: Tensor): boolean => storage.length === sizeOf(shape) && !(storage instanceof DeviceArray && storage.disposed)

/** An error where the storage no longer holds the shape: it was disposed of, or its buffer transferred or resized. */
function requireStorage(operation: string, tensor: Tensor): void {
  const { storage, shape } = tensor
  ensure(
    holdsShape(tensor),
    'STATE',
    () =>
      `${operation}: the storage of the tensor, shape ${formatShape(shape)}, ${storage instanceof DeviceArray ? 'was disposed of' : `holds ${storage.length} elements; its buffer was transferred or resized`}`,
  )
}

const isNativeArray = (value: unknown): value is NativeArray => ArrayBuffer.isView(value) && dtypeOf(value as NativeArray) !== undefined

/** Whether a typed array has lost its elements: every method of one that did throws. */
function isLost(array: NativeArray): boolean {
  try {
    array.at(0)
    return false
  } catch {
    return true
  }
}

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
  const shape = Array.isArray(shapeOrOptions) ? [...(shapeOrOptions as Shape)] : null
  const options = ((shape === null ? shapeOrOptions : more) ?? {}) as TensorOptions
  if (values instanceof Tensor) {
    values.shown = true
    return ofStorage(values.storage, values.dtype, shape ?? values.shape, options)
  }
  if (ArrayBuffer.isView(values)) {
    ensure(isNativeArray(values), 'DTYPE_MISMATCH', () => `tensor: a ${describe(values)} is not an array a tensor can hold`)
    return ofArray(values, shape ?? [values.length], options)
  }
  const dtype = dtypeFrom('tensor', options)
  const { data, shape: nesting } = ofNested(values, isHalf(dtype) ? 'float32' : dtype)
  return ofArray(data, shape ?? nesting, { ...options, dtype })
}

/** The dtype that options ask for; one that requires a gradient is a float. */
function dtypeFrom(operation: string, { dtype = 'float32', requiresGrad = false }: TensorOptions): DType {
  ensure(isDType(dtype), 'INVALID_ARGUMENT', () => `${operation}: dtype is ${describe(dtype)}`)
  ensure(!requiresGrad || isFloat(dtype), 'DTYPE_MISMATCH', () => `${operation}: a tensor of ${dtype} has no gradient`)
  return dtype
}

function ofArray(values: NativeArray, shape: Shape, options: TensorOptions): Tensor {
  ensure(!isLost(values), 'INVALID_ARGUMENT', () => 'tensor: the buffer of the array was transferred, or resized to less than the array spans')
  return ofStorage(values, dtypeOf(values) as DType, shape, options)
}

function ofStorage(values: Storage, own: DType, shape: Shape, { dtype, requiresGrad = false, device }: TensorOptions): Tensor {
  const asked = dtypeFrom('tensor', { dtype: dtype ?? own, requiresGrad })
  const place = device === undefined ? deviceOf(values) : deviceNamed('tensor', device)
  ensure(
    sizeOf(shape) === values.length,
    'SHAPE_MISMATCH',
    () => `tensor: shape ${formatShape(shape)} has ${sizeOf(shape)} elements, the values ${values.length}`,
  )
  const shared = asked === own && place === deviceOf(values)
  const made = new Tensor(shared ? values : converted(values, asked, place), shape, asked, requiresGrad)
  made.shown = shared
  return made
}

function ofNested(values: unknown, dtype: HostDType): { data: NativeArray; shape: Shape } {
  const shape: number[] = []
  // A list that holds itself would go on for ever.
  for (let level = values; Array.isArray(level) && shape.length <= maxRank; level = level[0]) shape.push(level.length)
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
  return { data, shape }
}

/**
 * An uninitialised tensor, for an operation about to write all of it; on the device of the operands of the
 * operation under way.
 */
export function empty(shape: Shape, dtype: DType = 'float32', device: Device = ambientDevice()): Tensor {
  return new Tensor(allocateStorage(device, dtype, sizeOf(shape)), shape, dtype)
}

/**
 * A tensor of one value everywhere: float32 on the CPU unless the options say otherwise.
 *
 * @throws EspalierError INVALID_ARGUMENT for a shape, value, dtype or device that is none; DTYPE_MISMATCH for integers that
 *   are to have a gradient; OUT_OF_MEMORY
 * @example
 * ```ts
 * import { full } from 'espalier'
 * full([2, 3], 0.5).toArray() // [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
 * full([], 7, { dtype: 'int32' }).item() // 7
 * ```
 */
export function full(shape: Shape, value: number, options: TensorOptions = {}): Tensor {
  const dtype = dtypeFrom('full', options)
  ensure(typeof value === 'number', 'INVALID_ARGUMENT', () => `full: value is ${describe(value)}, expected a number`)
  const device = options.device === undefined ? ambientDevice() : deviceNamed('full', options.device)
  return new Tensor(fill(allocateStorage(device, dtype, sizeOf(shape)), value), [...shape], dtype, options.requiresGrad)
}

/** `full` of zeros: a tensor of this shape. */
export const zeros = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 0, options)
/** `full` of ones: a tensor of this shape. */
export const ones = (shape: Shape, options?: TensorOptions): Tensor => full(shape, 1, options)

/**
 * The values 0, 1, …, n−1, of shape [n]; float32 unless the options say otherwise.
 *
 * @throws EspalierError INVALID_ARGUMENT unless n is a whole number from 0
 * @example
 * ```ts
 * import { arange } from 'espalier'
 * arange(4, { dtype: 'int32' }).toArray() // [0, 1, 2, 3]
 * ```
 */
export function arange(n: number, options: TensorOptions = {}): Tensor {
  const dtype = dtypeFrom('arange', options)
  const data = allocate(isHalf(dtype) ? 'float32' : dtype, wholeNumber('arange: n', n))
  for (let i = 0; i < n; i++) data[i] = i
  return ofArray(data, [n], { device: ambientDevice(), ...options, dtype })
}

/** An error for an operand that is no tensor, or of another dtype than the first. */
export function sameDtype(operation: string, first: Tensor, ...others: (Tensor | null | undefined)[]): void {
  for (const other of others)
    if (other && other.dtype !== first.dtype) throw new EspalierError('DTYPE_MISMATCH', `${operation}: a ${other.dtype} tensor meets a ${first.dtype} one`)
}

/** The same for what goes with `first` in the wider dtype that it sums in; see `wideOf`. */
export function widerDtype(operation: string, first: Tensor, ...others: (Tensor | null | undefined)[]): void {
  const dtype = wideOf(first.dtype)
  for (const other of others)
    if (other && other.dtype !== dtype) throw new EspalierError('DTYPE_MISMATCH', `${operation}: a ${other.dtype} tensor meets a ${first.dtype} one`)
}
