import { asTensor, defineOp } from '../autograd/index.js'
import { describe, EspalierError, ensure, realNumber } from '../native/index.js'
import { formatShape, full, type Tensor } from '../tensor/index.js'
import { gather, scatter, stridesOf } from './strided.js'

export interface PadOptions {
  /** What the new elements hold. Default 0. */
  value?: number
}

/**
 * x with elements added at its edges: `pads` names how many, before and behind, the last dimension
 * first (left, right, top, bottom, …); dimensions it does not reach stay.
 */
export const pad = defineOp({
  name: 'pad',
  forward(x: Tensor, pads: readonly number[], { value = 0 }: PadOptions = {}) {
    realNumber('pad: value', value, -Infinity, Infinity)
    const [before, behind] = edges(asTensor('pad', 'x', x), pads)
    const shape = x.shape.map((dimension, d) => before[d] + dimension + behind[d])
    const y = full(shape, value, { dtype: x.dtype })
    const strides = stridesOf(y.shape)
    const offset = strides.reduce((sum, step, d) => sum + step * before[d], 0)
    scatter(x, y, { strides, offset })
    return { output: y, saved: { strides, offset } }
  },
  backward: (grad, { args: [x], saved }) => [gather(grad, x.shape, saved)],
  cases: (sample): [Tensor, readonly number[], PadOptions?][] => [
    [sample([]), []],
    [sample([3]), [0, 0]],
    [sample([3]), [1, 2]],
    [sample([3]), [0, 2], { value: 1.5 }],
    [sample([1]), [3, 0]],
    [sample([0]), [2, 1]],
    [sample([17]), [16, 1]],
    [sample([2, 3]), [1, 1]],
    [sample([2, 3]), [1, 0, 0, 2]],
    [sample([2, 3]), [0, 0, 1, 1], { value: -1 }],
    [sample([2, 3]), []],
    [sample([2, 0]), [1, 1]],
    [sample([2, 3, 4]), [1, 1]],
    [sample([2, 3, 4]), [1, 2, 3, 0]],
    [sample([2, 3, 4]), [1, 0, 0, 1, 2, 2]],
    [sample([2, 3, 4]), [0, 0, 0, 0, 1, 0]],
    [sample([1, 2, 3, 3]), [1, 1, 1, 1]],
    [sample([2, 2, 3, 3]), [0, 1, 2, 0]],
    [sample([2, 1, 1, 1]), [1, 1, 1, 1], { value: 2 }],
    [sample([1, 2, 5, 17]), [2, 2, 2, 2]],
  ],
})

/** How many elements come before and behind each dimension. */
function edges({ shape, rank }: Tensor, pads: readonly number[]): readonly [number[], number[]] {
  ensure(
    Array.isArray(pads) && pads.length % 2 === 0 && pads.length <= 2 * rank,
    'INVALID_ARGUMENT',
    () => `pad: pads is ${describe(pads)}, expected a pair for each of up to ${rank} dimensions (shape ${formatShape(shape)})`,
  )
  const before = new Array<number>(rank).fill(0)
  const behind = new Array<number>(rank).fill(0)
  pads.forEach((count, i) => {
    if (!Number.isInteger(count) || count < 0)
      throw new EspalierError('INVALID_ARGUMENT', `pad: pads[${i}] is ${describe(count)}, expected a whole number from 0`)
    const side = i % 2 === 0 ? before : behind
    side[rank - 1 - Math.floor(i / 2)] = count
  })
  return [before, behind]
}
