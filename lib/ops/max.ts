import { defineOp, type Op, type Sample } from '../autograd/index.js'
import { ensure, native } from '../native/index.js'
import { axisOf, empty, formatShape, type Shape, type Tensor } from '../tensor/index.js'
import { floatTensor } from './operand.js'
import { around } from './strided.js'

export interface ExtremeOptions {
  /** The dimension that goes; by default (null) all of them, as one. */
  dim?: number | null
  /** Keep what goes with one element. Default false. */
  keepdim?: boolean
}

/** Values, and where along the dimension each was found (int32). */
export interface ValuesAndIndices {
  values: Tensor
  indices: Tensor
}

/** A place for an operation to leave the indices it found beside its values. */
type Found = { indices?: Tensor }
type Extreme = Op<[x: Tensor, options?: ExtremeOptions, found?: Found]>

const largest = 1
const smallest = -1

const define = (name: string, sign: number): Extreme =>
  defineOp({
    name,
    forward(x: Tensor, options: ExtremeOptions = {}, found: Found = {}) {
      const { lines, shape } = linesOf(name, x, options)
      const values = empty(shape, x.dtype)
      const indices = empty(shape, 'int32')
      native.extreme(...lines, sign, x.storage, values.storage, indices.storage)
      found.indices = indices
      return { output: values, saved: { lines, indices } }
    },
    backward(grad, { args: [x], saved: { lines, indices } }) {
      const gradX = empty(x.shape, x.dtype)
      native.place(...lines, grad.storage, indices.storage, gradX.storage)
      return [gradX]
    },
    cases,
  })

/** The largest value along a dimension, or of all. The gradient goes to the first of equal ones; NaN counts as the largest. */
export const max: Extreme = define('max', largest)

/** The smallest value along a dimension, or of all. The gradient goes to the first of equal ones; NaN counts as the smallest. */
export const min: Extreme = define('min', smallest)

const withIndices = (operation: Extreme, x: Tensor, options?: ExtremeOptions): ValuesAndIndices => {
  const found: Found = {}
  const values = operation(x, options, found)
  return { values, indices: found.indices as Tensor }
}

/** `max` with the index of each value, the first where several are equal. */
export const maxWithIndices = (x: Tensor, options?: ExtremeOptions): ValuesAndIndices => withIndices(max, x, options)

/** `min` with the index of each value, the first where several are equal. */
export const minWithIndices = (x: Tensor, options?: ExtremeOptions): ValuesAndIndices => withIndices(min, x, options)

const indexOf = (name: string, sign: number, x: Tensor, options: ExtremeOptions): Tensor => {
  const { lines, shape } = linesOf(name, x, options)
  const indices = empty(shape, 'int32', x.device)
  native.extreme(...lines, sign, x.storage, null, indices.storage)
  return indices
}

/** Where the largest value stands (int32), the first of equal ones; of all, counted through the whole tensor. */
export const argmax = (x: Tensor, options: ExtremeOptions = {}): Tensor => indexOf('argmax', largest, x, options)

/** Where the smallest value stands (int32), the first of equal ones; of all, counted through the whole tensor. */
export const argmin = (x: Tensor, options: ExtremeOptions = {}): Tensor => indexOf('argmin', smallest, x, options)

function linesOf(name: string, x: Tensor, { dim = null, keepdim = false }: ExtremeOptions): { lines: ReturnType<typeof around>; shape: Shape } {
  floatTensor(name, 'x', x)
  const axis = dim === null ? null : axisOf(name, dim, x.rank)
  const lines = axis === null ? ([1, x.size, 1] as const) : around(x.shape, axis)
  ensure(lines[1] > 0, 'SHAPE_MISMATCH', () => `${name}: x has shape ${formatShape(x.shape)}, there is nothing to choose from`)
  if (keepdim) return { lines, shape: x.shape.map((dimension, d) => (axis === null || d === axis ? 1 : dimension)) }
  return { lines, shape: axis === null ? [] : x.shape.filter((_, d) => d !== axis) }
}

function cases(sample: Sample): [Tensor, ExtremeOptions?][] {
  const distinct = (shape: Shape): Tensor => sample(shape, { distinct: true })
  return [
    [distinct([])],
    [distinct([1])],
    [distinct([7])],
    [distinct([33])],
    [distinct([67]), { dim: 0 }],
    [distinct([2, 3])],
    [distinct([2, 3]), { keepdim: true }],
    [distinct([2, 3]), { dim: 0 }],
    [distinct([2, 3]), { dim: 1 }],
    [distinct([2, 3]), { dim: -1, keepdim: true }],
    [distinct([5, 17]), { dim: 0 }],
    [distinct([5, 17]), { dim: 1 }],
    [distinct([3, 40]), { dim: 1 }],
    [distinct([40, 3]), { dim: 0 }],
    [distinct([2, 3, 4]), { dim: 1 }],
    [distinct([2, 3, 4]), { dim: 0, keepdim: true }],
    [distinct([2, 3, 4]), { dim: 2 }],
    [distinct([2, 5, 1]), { dim: 1 }],
    [distinct([2, 3, 2, 5]), { dim: -3 }],
    [distinct([0, 3]), { dim: 1 }],
    [distinct([3, 0]), { dim: 0 }],
  ]
}
