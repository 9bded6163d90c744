import { native } from '../native/index.js'
import { empty, type Shape, type Tensor, zeros } from '../tensor/index.js'

// What the operations that only move elements share. A view of a dense tensor is an offset and a step
// a dimension; moving elements is copying between two views of one shape.

export interface View {
  readonly strides: readonly number[]
  readonly offset: number
}

/** The steps of a dense tensor's dimensions. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length)
  let step = 1
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = step
    step *= shape[d]
  }
  return strides
}

/** A dense tensor of this shape, read from a view of x. */
export function gather(x: Tensor, shape: Shape, { strides, offset }: View): Tensor {
  const y = empty(shape, x.dtype)
  native.copyStrided(shape, strides, offset, stridesOf(shape), 0, x.storage, y.storage)
  return y
}

/** Writes the dense tensor x to a view of y. */
export function scatter(x: Tensor, y: Tensor, { strides, offset }: View): void {
  native.copyStrided(x.shape, stridesOf(x.shape), 0, strides, offset, x.storage, y.storage)
}

/** The gradient of `gather`: zeros, and `grad` where the view was read. */
export function scattered(grad: Tensor, shape: Shape, view: View): Tensor {
  const result = zeros(shape, { dtype: grad.dtype })
  scatter(grad, result, view)
  return result
}

/** x repeated along dimensions of extent 1 and new leading ones; the shapes are known to fit. */
export function expanded(x: Tensor, shape: Shape): Tensor {
  const lead = shape.length - x.rank
  const own = stridesOf(x.shape)
  return gather(x, shape, { strides: shape.map((dimension, d) => (d < lead || x.shape[d - lead] !== dimension ? 0 : own[d - lead])), offset: 0 })
}

/** The same storage under another shape of as many elements, apart from the tape. */
export const reshaped = (x: Tensor, shape: Shape): Tensor => x.alias(shape)

/** A shape as [outer, n, inner] around one dimension. */
export function around(shape: Shape, dim: number): readonly [outer: number, n: number, inner: number] {
  let outer = 1
  let inner = 1
  for (let d = 0; d < dim; d++) outer *= shape[d]
  for (let d = dim + 1; d < shape.length; d++) inner *= shape[d]
  return [outer, shape[dim] ?? 1, inner]
}
