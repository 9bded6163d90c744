import { asTensor, defineOp } from '../autograd/index.js'
import { EspalierError, ensure, Finish, native } from '../native/index.js'
import { empty, formatShape, readOf, sameDtype, type Tensor } from '../tensor/index.js'
import { linearShapes } from './cases.js'

/**
 * x·weightᵀ + bias. x is [..., in], weight [out, in], bias [out] or null; the result is [..., out].
 * float32 or float64.
 */
export const linear = defineOp({
  name: 'linear',
  forward(x: Tensor, weight: Tensor, bias?: Tensor | null) {
    const { rows, inputs, outputs } = geometry(x, weight, bias)
    const y = empty([...x.shape.slice(0, -1), outputs], x.dtype)
    native.gemm(
      1,
      readOf(x),
      weight.storage,
      0,
      null,
      bias?.storage ?? null,
      Finish.none,
      y.storage,
      rows,
      outputs,
      inputs,
      0,
      1,
      ...lds(inputs, inputs, outputs),
    )
    return y
  },
  backward(grad, { args: [x, weight, bias], needs }) {
    const { rows, inputs, outputs } = geometry(x, weight, bias)
    const gradients: (Tensor | null)[] = [null, null]
    if (needs[0]) {
      const dx = empty(x.shape, x.dtype)
      native.gemm(1, grad.storage, weight.storage, 0, null, null, Finish.none, dx.storage, rows, inputs, outputs, 0, 0, ...lds(outputs, inputs, inputs))
      gradients[0] = dx
    }
    if (needs[1]) {
      const dw = empty(weight.shape, x.dtype)
      native.gemm(1, grad.storage, readOf(x), 0, null, null, Finish.none, dw.storage, outputs, inputs, rows, 1, 0, ...lds(outputs, inputs, inputs))
      gradients[1] = dw
    }
    if (!bias) return gradients
    if (!needs[2]) return [...gradients, null]
    const db = empty(bias.shape, x.dtype)
    native.columnSum(rows, outputs, grad.storage, db.storage)
    return [...gradients, db]
  },
  cases: (sample): [Tensor, Tensor, Tensor | null][] => [
    ...linearShapes.map(([x, weight]): [Tensor, Tensor, Tensor] => [sample(x), sample(weight), sample([weight[0]])]),
    ...linearShapes.slice(3, 11).map(([x, weight]): [Tensor, Tensor, null] => [sample(x), sample(weight), null]),
    [sample([3, 4]).detach(), sample([2, 4]), sample([2])],
    [sample([3, 4]), sample([2, 4]).detach(), sample([2]).detach()],
  ],
})

/** The leading dimensions of dense matrices of so many columns. */
const lds = (a: number, b: number, c: number): [number, number, number] => [Math.max(a, 1), Math.max(b, 1), Math.max(c, 1)]

function geometry(x: Tensor, weight: Tensor, bias?: Tensor | null): { rows: number; inputs: number; outputs: number } {
  asTensor('linear', 'x', x)
  asTensor('linear', 'weight', weight)
  ensure(weight.rank === 2, 'SHAPE_MISMATCH', () => `linear: weight has shape ${formatShape(weight.shape)}, expected [out, in]`)
  const [outputs, inputs] = weight.shape
  if (x.rank === 0 || x.shape[x.rank - 1] !== inputs)
    throw new EspalierError('SHAPE_MISMATCH', `linear: x has shape ${formatShape(x.shape)}, weight ${formatShape(weight.shape)} expects [..., ${inputs}]`)
  if (bias != null) {
    asTensor('linear', 'bias', bias)
    ensure(
      bias.rank === 1 && bias.shape[0] === outputs,
      'SHAPE_MISMATCH',
      () => `linear: bias has shape ${formatShape(bias.shape)}, weight ${formatShape(weight.shape)} expects [${outputs}]`,
    )
  }
  sameDtype('linear', x, weight, bias)
  let rows = 1
  for (let i = 0; i < x.rank - 1; i++) rows *= x.shape[i]
  return { rows, inputs, outputs }
}
