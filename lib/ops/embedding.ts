import { asTensor, defineOp } from '../autograd/index.js'
import { ensure, native, wholeNumber } from '../native/index.js'
import { empty, formatShape, type Shape, type Tensor } from '../tensor/index.js'

export interface EmbeddingOptions {
  /** A row that is read like the others but gets no gradient. Default none (null). */
  paddingIdx?: number | null
}

/**
 * Rows of weight [rows, size] by number: indices (int32) of any shape give […indices, size]. A number
 * outside 0…rows−1 is an error. The gradient of a row is the sum over the places that read it.
 */
export const embedding = defineOp({
  name: 'embedding',
  forward(weight: Tensor, indices: Tensor, { paddingIdx = null }: EmbeddingOptions = {}) {
    const { shape, dtype } = asTensor('embedding', 'weight', weight)
    asTensor('embedding', 'indices', indices)
    ensure(shape.length === 2, 'SHAPE_MISMATCH', () => `embedding: weight has shape ${formatShape(shape)}, expected [rows, size]`)
    ensure(indices.dtype === 'int32', 'DTYPE_MISMATCH', () => `embedding: indices are ${indices.dtype}, expected int32`)
    if (paddingIdx !== null) wholeNumber('embedding: paddingIdx', paddingIdx, 0, shape[0] - 1)
    const output = empty([...indices.shape, shape[1]], dtype)
    native.embeddingForward(weight.storage, indices.storage, output.storage, shape[0], shape[1])
    return { output, saved: paddingIdx ?? -1 }
  },
  backward(grad, { args: [weight, indices], saved: padding }) {
    const [rows, size] = weight.shape
    const dweight = empty(weight.shape, weight.dtype)
    native.embeddingBackward(grad.storage, indices.storage, padding, dweight.storage, rows, size)
    return [dweight, null]
  },
  cases(sample) {
    const sizes: [rows: number, size: number][] = [
      [1, 1],
      [3, 0],
      [2, 5],
      [5, 8],
      [7, 17],
    ]
    const shapes: Shape[] = [[], [0], [1], [6], [2, 3]]
    return sizes.flatMap(([rows, size]) =>
      shapes.map((shape): [Tensor, Tensor, EmbeddingOptions] => [sample([rows, size]), sample(shape, { min: 0, max: rows, integer: true }), {}]),
    )
  },
})
