import { asTensor, defineOp } from '../autograd/index.js'
import type { ConvSteps } from '../kernels/convGeometry.js'
import { SparseConv2d } from '../kernels/index.js'
import { Pattern } from '../kernels/pattern.js'
import { type Conv2d, describe, EspalierError, ensure } from '../native/index.js'
import { formatShape, sameDtype, sameShape, type Tensor } from '../tensor/index.js'
import { weightGradient } from './convolution.js'
import { keptOf, spread } from './keptEntries.js'
import { sparseConv2d, weightShape } from './sparseConv2d.js'

type Arguments = [x: Tensor, weight: Tensor, convolution: SparseConv2d | Pattern, bias: Tensor | null, steps?: ConvSteps, ofKept?: boolean]

/**
 * Two-dimensional convolution, as `conv2d`, by the entries of the weight that `convolution` keeps: the others are
 * taken for 0. The weight's gradient is that of all entries, or with `ofKept` that of the kept ones; see `maskedLinear`.
 *
 * @throws EspalierError SHAPE_MISMATCH where x, weight or bias do not fit the convolution; DTYPE_MISMATCH for several
 * types; INVALID_ARGUMENT for a convolution that is none; DEVICE_MISMATCH for a pattern elsewhere
 */
export const maskedConv2d = defineOp({
  name: 'masked_conv2d',
  forward(x: Tensor, weight: Tensor, convolution: SparseConv2d | Pattern, bias: Tensor | null, steps?: ConvSteps, _ofKept?: boolean) {
    check(x, weight, convolution)
    const values = keptOf(weight, convolution)
    const { output, saved } = sparseConv2d.spec.forward(x, values, convolution, bias, steps) as { output: Tensor; saved: Conv2d }
    return { output, saved: { values, geometry: saved }, held: values.storage }
  },
  backward(grad, { args: [x, weight, convolution, bias, , ofKept], output, saved: { values, geometry }, needs }) {
    const sparse = [needs[0], needs[1] && ofKept === true, ...needs.slice(2)]
    const [dx, dvalues = null, db = null] =
      sparseConv2d.spec.backward?.(grad, { args: [x, values, convolution, bias], output, saved: geometry, needs: sparse }) ?? []
    let dw: Tensor | null = null
    if (dvalues !== null) {
      dw = spread(dvalues, convolution, weight.shape)
      dvalues.release()
    } else if (needs[1]) dw = weightGradient(geometry, x, grad, weight.shape)
    return bias === null ? [dx, dw] : [dx, dw, db]
  },
  // The gradient of entries that the product does not read: see test/nn/masked.test.ts for what it gives.
  estimator: true,
  cases: (sample): Arguments[] =>
    [0, 1].flatMap((bias) =>
      [1, 2, 3, 5, 8, 9, 10, 15, 16, 17].map((size, i): Arguments => {
        const [kernel, channels, seen] = [1 + (i % 3), 1 + (i % 4), 1 + (i % 2)]
        const mask = Uint8Array.from({ length: channels * seen * kernel * kernel }, (_, j) => Number((j * 7 + i) % 3 === 0))
        const convolution = new SparseConv2d(new Float32Array(mask.length), seen, channels, kernel, { mask })
        return [
          sample([2, seen, size, size]),
          sample([channels, seen, kernel, kernel]),
          convolution,
          bias === 1 ? sample([channels]) : null,
          { padding: 1, stride: 1 + (i % 2) },
          i % 3 === 0,
        ]
      }),
    ),
})

/** Checks what the entries of the weight are read by; the rest is the sparse product's to check. */
function check(x: Tensor, weight: Tensor, convolution: SparseConv2d | Pattern): void {
  asTensor('masked_conv2d', 'x', x)
  asTensor('masked_conv2d', 'weight', weight)
  const isPattern = convolution instanceof Pattern
  ensure(
    isPattern || convolution instanceof SparseConv2d,
    'INVALID_ARGUMENT',
    () => `masked_conv2d: convolution is ${describe(convolution)}, expected a kernels.SparseConv2d`,
  )
  const shape = weightShape(convolution)
  ensure(
    sameShape(weight.shape, shape),
    'SHAPE_MISMATCH',
    () => `masked_conv2d: weight has shape ${formatShape(weight.shape)}, that of the convolution is ${formatShape(shape)}`,
  )
  sameDtype('masked_conv2d', x, weight)
  if (isPattern && convolution.storage.device !== weight.device)
    throw new EspalierError('DEVICE_MISMATCH', `masked_conv2d: the weight is on ${weight.device}, the pattern on ${convolution.storage.device}`)
}
