import { defineOp } from '../autograd/index.js'
import type { ConvSteps } from '../kernels/convGeometry.js'
import { SparseConv2d } from '../kernels/index.js'
import { gathered, type Tensor } from '../tensor/index.js'
import { weightGradient } from './convolution.js'
import { sparseConv2d } from './sparseConv2d.js'

/**
 * Two-dimensional convolution, as `conv2d`, by the entries of the weight that `convolution` keeps: the others are
 * taken for 0. The weight's gradient is that of all entries; see `maskedLinear`.
 */
export const maskedConv2d = defineOp({
  name: 'masked_conv2d',
  forward(x: Tensor, weight: Tensor, convolution: SparseConv2d, bias: Tensor | null, steps?: ConvSteps) {
    const values = gathered(weight, { positions: convolution.places })
    const { output, saved } = sparseConv2d.spec.forward(x, values, convolution, bias, steps) as { output: Tensor; saved: Parameters<typeof weightGradient>[0] }
    return { output, saved: { values, geometry: saved } }
  },
  backward(grad, { args: [x, weight, convolution, bias], output, saved: { values, geometry }, needs }) {
    const [dx, , db = null] =
      sparseConv2d.spec.backward?.(grad, { args: [x, values, convolution, bias], output, saved: geometry, needs: [needs[0], false, ...needs.slice(2)] }) ?? []
    const dw = needs[1] ? weightGradient(geometry, x, grad, weight.shape) : null
    return bias === null ? [dx, dw] : [dx, dw, db]
  },
  // The gradient of entries that the product does not read: see test/nn/masked.test.ts for what it gives.
  estimator: true,
  cases: (sample): [Tensor, Tensor, SparseConv2d, Tensor | null, ConvSteps?][] =>
    [0, 1].flatMap((bias) =>
      [1, 2, 3, 5, 8, 9, 10, 15, 16, 17].map((size, i): [Tensor, Tensor, SparseConv2d, Tensor | null, ConvSteps?] => {
        const [kernel, channels, seen] = [1 + (i % 3), 1 + (i % 4), 1 + (i % 2)]
        const mask = Uint8Array.from({ length: channels * seen * kernel * kernel }, (_, j) => Number((j * 7 + i) % 3 === 0))
        const convolution = new SparseConv2d(new Float32Array(mask.length), seen, channels, kernel, { mask })
        return [
          sample([2, seen, size, size]),
          sample([channels, seen, kernel, kernel]),
          convolution,
          bias === 1 ? sample([channels]) : null,
          { padding: 1, stride: 1 + (i % 2) },
        ]
      }),
    ),
})
