import test from 'ava'
import { EspalierError, kernels } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const random = randomSource(31)
const noise = (length: number): Float32Array => Float32Array.from({ length }, () => random() * 2 - 1)
const close = (a: Float32Array, b: Float32Array): boolean => a.length === b.length && a.every((value, i) => Math.abs(value - b[i]) <= 1e-4)

const sizes = {
  inChannels: 6,
  outChannels: 8,
  kernelSize: [3, 2] as const,
  groups: 2,
  height: 7,
  width: 9,
  stride: [2, 1] as const,
  padding: 1,
  dilation: [1, 2] as const,
}
const [n, outHeight, outWidth] = [3, 4, 9]
const geometry = [n, 6, 7, 9, 8, outHeight, outWidth, 3, 2, 2, 1, 1, 1, 1, 2, 2] as const

function layer(density: number) {
  const weight = noise(8 * 3 * 3 * 2)
  const mask = Uint8Array.from(weight, () => Number(random() < density))
  return { weight, mask, masked: weight.map((value, i) => value * mask[i]) }
}

test('SparseConv2d computes what the dense convolution of the masked weight does', (t) => {
  const { weight, mask, masked } = layer(0.3)
  using conv = new kernels.SparseConv2d(weight, 6, 8, [3, 2], { groups: 2, mask })
  t.is(
    conv.count,
    mask.reduce((sum, kept) => sum + kept, 0),
  )
  t.deepEqual(
    [...conv.positions()],
    [...mask.keys()].filter((i) => mask[i] === 1),
  )
  const [x, dy, bias] = [noise(n * 6 * 7 * 9), noise(n * 8 * outHeight * outWidth), noise(8)]
  const [y, dx, dw] = [new Float32Array(dy.length), new Float32Array(x.length), new Float32Array(weight.length)]
  native.conv2dForward(x, masked, bias, 1, y, ...geometry)
  native.conv2dDataGrad(masked, dy, null, dx, ...geometry)
  native.conv2dWeightGrad(x, dy, dw, ...geometry)
  t.true(close(conv.forward(x, sizes, { bias, relu: true }), y))
  t.true(close(conv.dataGradient(dy, sizes), dx))
  t.true(
    close(
      conv.weightGradient(x, dy, sizes),
      Float32Array.from(conv.positions(), (i) => dw[i]),
    ),
  )
  // What is made is made once, and its time is known.
  const made = conv.makingTime
  t.true(made > 0)
  const out = new Float32Array(y.length)
  t.is(conv.forward(x, conv.geometry(n, 7, 9, sizes), { bias, relu: true, out }), out)
  t.is(conv.makingTime, made)
  t.true(close(out, y))
})

test('masked convolutions and products: sparse and dense ways, masks written to, values changed', (t) => {
  for (const density of [0, 0.2, 0.9, 1]) {
    const { weight, mask, masked } = layer(density)
    const [x, bias] = [noise(n * 6 * 7 * 9), noise(8)]
    const expected = (): Float32Array => {
      const y = new Float32Array(n * 8 * outHeight * outWidth)
      native.conv2dForward(x, masked, bias, 1, y, ...geometry)
      return y
    }
    const rows = 8
    const columns = weight.length / rows
    const product = (): Float32Array =>
      Float32Array.from({ length: 5 * rows }, (_, i) => {
        let sum = bias[i % rows]
        for (let k = 0; k < columns; k++) sum += x[Math.floor(i / rows) * columns + k] * masked[(i % rows) * columns + k]
        return Math.max(sum, 0)
      })
    const agree = (kind: Uint8Array | Float32Array): void => {
      t.true(close(kernels.maskedConv2d(x, weight, kind, sizes, { bias, relu: true }), expected()), `${density}`)
      t.true(close(kernels.maskedMatmul(x.subarray(0, 5 * columns), weight, kind, rows, { bias, relu: true }), product()), `${density}`)
    }
    agree(mask)
    agree(Float32Array.from(mask))
    for (let i = 0; i < weight.length; i++) weight[i] = random() - 0.5
    for (let i = 0; i < weight.length; i += 5) mask[i] = 1 - mask[i]
    for (let i = 0; i < weight.length; i++) masked[i] = weight[i] * mask[i]
    agree(mask)
  }
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) =>
    t.is((t.throws(call, { instanceOf: EspalierError }) as EspalierError | undefined)?.code as string, code)
  refused('DTYPE_MISMATCH', () => new kernels.SparseConv2d(new Float64Array(9) as never, 1, 1, 3))
  refused('SHAPE_MISMATCH', () => new kernels.SparseConv2d(noise(8), 1, 1, 3))
  refused('INVALID_ARGUMENT', () => new kernels.SparseConv2d(noise(9), 1, 1, 0))
  refused('INVALID_ARGUMENT', () => new kernels.SparseConv2d(noise(9), 1, 1, 3, { groups: 2 }))
  refused('INVALID_ARGUMENT', () => new kernels.SparseConv2d(noise(9), 1, 1, 3, { kernel: 'fast' as never }))
  refused('SHAPE_MISMATCH', () => new kernels.SparseConv2d(noise(9), 1, 1, 3, { mask: new Uint8Array(8) }))
  const conv = new kernels.SparseConv2d(noise(9), 1, 1, 3)
  refused('SHAPE_MISMATCH', () => conv.forward(noise(5), { height: 3, width: 3 }))
  refused('SHAPE_MISMATCH', () => conv.forward(noise(4), { height: 2, width: 2 }))
  refused('SHAPE_MISMATCH', () => conv.forward(noise(9), { height: 3, width: 3 }, { out: new Float32Array(2) }))
  refused('SHAPE_MISMATCH', () => conv.weightGradient(noise(9), noise(2), { height: 3, width: 3 }))
  refused('INVALID_ARGUMENT', () => conv.forward(noise(9), { height: 3, width: 3, padding: 'half' as never }))
  refused('INVALID_ARGUMENT', () => conv.forward(noise(9), { height: 3, width: -3 }))
  refused('SHAPE_MISMATCH', () => conv.setValues(noise(8)))
  conv.dispose()
  conv.dispose()
  refused('STATE', () => conv.forward(noise(9), { height: 3, width: 3 }))
  const one = { inChannels: 1, outChannels: 1, kernelSize: 3, height: 3, width: 3 }
  refused('INVALID_ARGUMENT', () => kernels.maskedConv2d(noise(9), noise(9), new Float32Array(9).fill(0.5), one))
  refused('SHAPE_MISMATCH', () => kernels.maskedConv2d(noise(9), noise(9), new Uint8Array(8), one))
  refused('SHAPE_MISMATCH', () => kernels.maskedConv2d(noise(8), noise(9), new Uint8Array(9), one))
  refused('SHAPE_MISMATCH', () => kernels.maskedConv2d(noise(8), noise(9), new Uint8Array(9).fill(1), one))
  refused('INVALID_ARGUMENT', () => kernels.maskedMatmul(noise(3), noise(6), new Uint8Array(6).fill(2), 2))
  refused('SHAPE_MISMATCH', () => kernels.maskedMatmul(noise(4), noise(6), new Uint8Array(6), 2))
  refused('DTYPE_MISMATCH', () => kernels.maskedMatmul(noise(3), noise(6), new Int8Array(6) as never, 2))
})
