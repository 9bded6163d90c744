import { asTensor, defineOp } from '../autograd/index.js'
import { EspalierError, ensure, wholeNumber } from '../native/index.js'
import { axisOf, formatShape, type Tensor } from '../tensor/index.js'
import { reshape } from './reshape.js'
import { gather, scattered, stridesOf, type View } from './strided.js'

export interface SliceOptions {
  /** Default 0. */
  dim?: number
  /** The first index, counted from the end where negative; null: from the beginning. */
  start?: number | null
  /** The index behind the last; null: to the end. */
  end?: number | null
  /** At least 1 (default). */
  step?: number
}

/** Every step-th index from start up to, not including, end along a dimension, as Python slices. Copies. */
export const slice = defineOp({
  name: 'slice',
  selects: true,
  forward(x: Tensor, options: SliceOptions = {}) {
    const { shape, ...view } = viewOf(asTensor('slice', 'x', x), options)
    return { output: gather(x, shape, view), saved: view }
  },
  backward: (grad, { args: [x], saved }) => [scattered(grad, x.shape, saved)],
  cases: (sample): [Tensor, SliceOptions][] => [
    [sample([5]), {}],
    [sample([5]), { start: 1 }],
    [sample([5]), { end: 3 }],
    [sample([5]), { start: -2 }],
    [sample([5]), { end: -1 }],
    [sample([5]), { start: 3, end: 2 }],
    [sample([5]), { step: 2 }],
    [sample([5]), { start: 1, step: 3 }],
    [sample([0]), {}],
    [sample([1]), { start: 0, end: 1 }],
    [sample([33]), { start: 16, end: 33 }],
    [sample([4, 3]), { start: 1, end: 3 }],
    [sample([4, 3]), { dim: 1, start: 1 }],
    [sample([4, 3]), { dim: -1, step: 2 }],
    [sample([4, 3]), { dim: 0, start: -100, end: 100 }],
    [sample([2, 3, 4]), { dim: 1, start: 1, end: 2 }],
    [sample([2, 3, 4]), { dim: 2, start: 1, end: 4, step: 2 }],
    [sample([2, 3, 4]), { dim: 0, start: 1 }],
    [sample([2, 17]), { dim: 1, start: 1, end: 17 }],
    [sample([2, 3, 4, 2]), { dim: 2, start: 1, end: 3 }],
    [sample([2, 0, 3]), { dim: 2, start: 1 }],
  ],
})

/** The part of x at one index of a dimension, which goes. A negative index counts from the end. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  const { shape, rank } = asTensor('select', 'x', x)
  const axis = axisOf('select', dim, rank)
  const length = shape[axis] ?? 0
  const place = wholeNumber('select: index', index < 0 ? index + length : index, 0, length - 1)
  return reshape(slice(x, { dim: axis, start: place, end: place + 1 }), shape.toSpliced(axis, 1))
}

function viewOf({ shape, rank }: Tensor, { dim = 0, start = null, end = null, step = 1 }: SliceOptions): View & { shape: number[] } {
  const axis = axisOf('slice', dim, rank)
  ensure(rank > 0, 'SHAPE_MISMATCH', () => 'slice: a scalar has no dimension to cut')
  wholeNumber('slice: step', step, 1)
  const length = shape[axis]
  const bound = (name: string, index: number): number => {
    if (!Number.isInteger(index))
      throw new EspalierError('INVALID_ARGUMENT', `slice: ${name} is ${index}, expected a whole number (shape ${formatShape(shape)})`)
    return Math.min(Math.max(index < 0 ? index + length : index, 0), length)
  }
  const first = bound('start', start ?? 0)
  const count = Math.max(0, Math.ceil((bound('end', end ?? length) - first) / step))
  const strides = stridesOf(shape)
  const offset = first * strides[axis]
  // A single index is reached without a step, which may be larger than the tensor.
  strides[axis] *= count > 1 ? step : 1
  return { shape: shape.with(axis, count), strides, offset }
}
