import { asTensor, defineOp, type Sample } from '../autograd/index.js'
import { native, type Strip } from '../native/index.js'
import { axisOf, empty, type Shape, type Tensor } from '../tensor/index.js'

/** A shape as [outer, length, inner] around one of its dimensions; a scalar is one strip of one. */
function stripOf(operation: string, shape: Shape, dim: number): Strip {
  const axis = axisOf(operation, dim, shape.length)
  const product = (part: Shape): number => part.reduce((size, dimension) => size * dimension, 1)
  return [product(shape.slice(0, axis)), shape[axis] ?? 1, product(shape.slice(axis + 1))]
}

const cases = (sample: Sample): [Tensor, number][] => {
  const rows: [Shape, number][] = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 65].map((n) => [[2, n], -1])
  const others: [Shape, number][] = [
    [[], 0],
    [[0], 0],
    [[5], 0],
    [[3, 0], 1],
    [[0, 3], -1],
    [[4, 3], 0],
    [[3, 17], 0],
    [[2, 4, 3], 1],
    [[2, 3, 2, 9], -3],
  ]
  return [...rows, ...others].map(([shape, dim]) => [sample(shape, { avoid: [] }), dim])
}

/** e^x / Σ e^x along dimension `dim` (negative: from the end); the shape is kept. The largest x is subtracted first, so nothing overflows. */
export const softmax = defineOp({
  name: 'softmax',
  forward(x: Tensor, dim: number) {
    const y = empty(asTensor('softmax', 'x', x).shape, x.dtype)
    native.softmaxForward(x.storage, y.storage, ...stripOf('softmax', x.shape, dim))
    return y
  },
  backward(grad, { args: [x, dim], output }) {
    const dx = empty(x.shape, x.dtype)
    native.softmaxBackward(grad.storage, output.storage, dx.storage, ...stripOf('softmax', x.shape, dim))
    return [dx]
  },
  cases,
})

/** x − ln Σ e^x along dimension `dim` (negative: from the end); the shape is kept. More exact than the logarithm of `softmax`. */
export const logSoftmax = defineOp({
  name: 'log_softmax',
  forward(x: Tensor, dim: number) {
    const y = empty(asTensor('log_softmax', 'x', x).shape, x.dtype)
    native.logSoftmaxForward(x.storage, y.storage, ...stripOf('log_softmax', x.shape, dim))
    return y
  },
  backward(grad, { args: [x, dim], output }) {
    const dx = empty(x.shape, x.dtype)
    native.logSoftmaxBackward(grad.storage, output.storage, dx.storage, ...stripOf('log_softmax', x.shape, dim))
    return [dx]
  },
  cases,
})
