import { defineOp } from '../autograd/index.js'
import { SparseMatrix } from '../kernels/index.js'
import { gathered, recycle, type Tensor } from '../tensor/index.js'
import { linearShapes } from './cases.js'
import { linear } from './linear.js'
import { sparseLinear } from './sparseLinear.js'

/**
 * x·weightᵀ + bias, as `linear`, by the entries of the weight that `matrix` keeps: the others are taken for 0. The
 * weight's gradient is that of all entries, as a dense product has it: for rules by which masked weights learn.
 */
export const maskedLinear = defineOp({
  name: 'masked_linear',
  forward(x: Tensor, weight: Tensor, matrix: SparseMatrix, bias?: Tensor | null) {
    const values = gathered(weight, { positions: matrix.places })
    const made = sparseLinear.spec.forward(x, values, matrix, bias)
    if (!('output' in made)) return { output: made, saved: { values, saved: undefined } }
    const { output, saved, held } = made
    if (saved === undefined || held === undefined) return { output, saved: { values, saved } }
    // Only the gradient of the values reads the panels packed of x, and that of the whole weight takes rows.
    recycle(held)
    return { output, saved: { values, saved: { ...saved, x: null } } }
  },
  backward(grad, { args: [x, weight, matrix, bias], output, saved: { values, saved }, needs }) {
    const [dx, , db = null] =
      sparseLinear.spec.backward?.(grad, { args: [x, values, matrix, bias], output, saved, needs: [needs[0], false, ...needs.slice(2)] }) ?? []
    const dw = needs[1] ? linear.spec.backward?.(grad, { args: [x, weight], output, saved: undefined, needs: [false, true] })[1] : null
    return bias ? [dx, dw ?? null, db] : [dx, dw ?? null]
  },
  // The gradient of entries that the product does not read: see test/nn/masked.test.ts for what it gives.
  estimator: true,
  cases: (sample): [Tensor, Tensor, SparseMatrix, Tensor | null][] =>
    linearShapes.flatMap(([x, [rows, columns]], i) => {
      const mask = Uint8Array.from({ length: rows * columns }, (_, j) => Number((j * 7 + i) % 3 === 0))
      const call = (bias: Tensor | null): [Tensor, Tensor, SparseMatrix, Tensor | null] => [
        sample(x),
        sample([rows, columns]),
        new SparseMatrix(new Float32Array(mask.length), rows, columns, { mask }),
        bias,
      ]
      return [call(sample([rows])), call(null)]
    }),
})
