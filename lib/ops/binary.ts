import { Binary, describe, EspalierError, native } from '../native/index.js'
import { broadcastShapes, empty, type Shape, sameDtype, sameShape, Tensor } from '../tensor/index.js'
import { floatTensor } from './operand.js'

// What the operations on two tensors share: shapes are stretched to a common one, aligned at the last
// dimension, where a dimension of 1 repeats; the second operand may be a number.

/** A second operand. */
export type Operand = Tensor | number

/** kind(a, b), apart from the tape. */
export function combine(name: string, kind: Binary, a: Tensor, b: Operand): Tensor {
  floatTensor(name, 'a', a)
  if (typeof b === 'number') {
    const y = empty(a.shape, a.dtype)
    native.binaryScalar(kind, a.storage, b, y.storage)
    return y
  }
  if (!(b instanceof Tensor)) throw new EspalierError('INVALID_ARGUMENT', `${name}: b is ${describe(b)}, expected a tensor or a number`)
  sameDtype(name, a, b)
  if (sameShape(a.shape, b.shape)) {
    const y = empty(a.shape, a.dtype)
    native.binaryForward(kind, a.storage, b.storage, y.storage)
    return y
  }
  const middle = middleOf(a.shape, b.shape)
  if (middle !== null) {
    const y = empty(a.shape, a.dtype)
    native.binaryMiddle(kind, ...middle, a.storage, b.storage, y.storage)
    return y
  }
  const y = empty(broadcastShapes(name, a.shape, b.shape), a.dtype)
  native.binaryBroadcast(kind, a.shape, b.shape, a.storage, b.storage, y.storage)
  return y
}

/**
 * Where b's dimensions other than 1 are neighbours and equal to those of a (a bias of rows or channels):
 * a as [outer, n, inner] with b along the middle. Else null.
 */
function middleOf(a: Shape, b: Shape): readonly [outer: number, n: number, inner: number] | null {
  const lead = a.length - b.length
  if (lead < 0) return null
  let outer = 1
  let n = 1
  let inner = 1
  let begun = false
  for (let d = 0; d < a.length; d++) {
    const dimension = d < lead ? 1 : b[d - lead]
    if (dimension !== 1) {
      if (dimension !== a[d] || inner !== 1) return null
      begun = true
      n *= dimension
    } else if (begun) inner *= a[d]
    else outer *= a[d]
  }
  return [outer, n, inner]
}

/** The gradient of an operand of this shape: the sum over the dimensions along which it was repeated. */
export function sumTo(grad: Tensor, shape: Shape): Tensor {
  if (sameShape(grad.shape, shape)) return grad
  const result = empty(shape, grad.dtype)
  const lead = grad.shape.length - shape.length
  const repeated = grad.shape.map((dimension, i) => (i < lead || (shape[i - lead] === 1 && dimension !== 1) ? 1 : 0))
  native.sum(grad.shape, repeated, 1, grad.storage, result.storage)
  return result
}

/** Gradients of both operands from what each would be without repetition; a number has none. */
export function operandGradients(
  needs: readonly boolean[],
  a: Tensor,
  b: Operand,
  gradA: () => Tensor,
  gradB: (b: Tensor) => Tensor,
): readonly (Tensor | null)[] {
  const left = needs[0] ? sumTo(gradA(), a.shape) : null
  return typeof b === 'number' ? [left] : [left, needs[1] ? sumTo(gradB(b), b.shape) : null]
}

export { Binary }
