import { asTensor, defineOp } from '../autograd/index.js'
import { ensure, native } from '../native/index.js'
import { broadcastShapes, empty, full, sameDtype, sameShape, Tensor } from '../tensor/index.js'
import type { Operand } from './binary.js'
import { expand } from './expand.js'
import { floatTensor } from './operand.js'

/** The choice between tensors of one shape. */
const choose = defineOp({
  name: 'where',
  forward(mask: Tensor, a: Tensor, b: Tensor) {
    const y = empty(a.shape, a.dtype)
    native.choose(mask.storage, a.storage, b.storage, y.storage)
    return y
  },
  backward(grad, { args: [mask], needs }) {
    const part = (a: Tensor | null, b: Tensor | null): Tensor => {
      const result = empty(grad.shape, grad.dtype)
      native.choose(mask.storage, a?.storage ?? null, b?.storage ?? null, result.storage)
      return result
    }
    return [null, needs[1] ? part(grad, null) : null, needs[2] ? part(null, grad) : null]
  },
  cases: (sample) =>
    [[], [0], [1], [2], [3], [5], [8], [9], [15], [16], [17], [31], [33], [64], [65], [0, 3], [1, 1], [2, 3], [3, 5, 7], [2, 1, 9]].map(
      (shape): [Tensor, Tensor, Tensor] => {
        const { data } = sample(shape, { min: 0, max: 2, integer: true })
        return [new Tensor(Uint8Array.from(data), shape, 'uint8'), sample(shape), sample(shape)]
      },
    ),
})

/** a where the mask (uint8) is not 0, else b, elementwise; the three shapes broadcast, a or b may be a number. */
export function where(mask: Tensor, a: Operand, b: Operand): Tensor {
  const { dtype, shape, device } = asTensor('where', 'mask', mask)
  ensure(dtype === 'uint8', 'DTYPE_MISMATCH', () => `where: mask is ${dtype}, expected uint8`)
  const model = a instanceof Tensor ? a : b instanceof Tensor ? b : null
  const type = model === null ? 'float32' : model.dtype
  const [left, right] = [a, b].map((operand, i) =>
    typeof operand === 'number' ? full([], operand, { dtype: type, device }) : floatTensor('where', 'ab'[i], operand),
  )
  sameDtype('where', left, right)
  const common = broadcastShapes('where', broadcastShapes('where', left.shape, right.shape), shape)
  const stretched = (x: Tensor): Tensor => (sameShape(x.shape, common) ? x : expand(x, common))
  return choose(stretched(mask), stretched(left), stretched(right))
}
