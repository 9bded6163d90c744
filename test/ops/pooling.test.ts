import test from 'ava'
import { EspalierError, noGrad, ops, type Tensor, tensor, zeros } from '../../lib/index.js'

const refused = (code: string) => ({ instanceOf: EspalierError, code })
const image = (height: number, width: number, value: (i: number) => number) =>
  tensor(
    Float32Array.from({ length: height * width }, (_, i) => value(i)),
    [1, 1, height, width],
  )

test('a window larger than the padded input is refused', (t) => {
  for (const pool of [ops.maxPool2d, ops.avgPool2d]) {
    t.throws(() => pool(zeros([1, 1, 2, 5]), { kernelSize: 3 }), { ...refused('SHAPE_MISMATCH'), message: /window of 3 is larger than the input of 2/ })
    t.throws(() => pool(zeros([1, 1, 0, 5]), { kernelSize: 2, padding: 1 }), refused('SHAPE_MISMATCH'))
    t.deepEqual(pool(zeros([1, 1, 2, 5]), { kernelSize: [2, 3] }).shape, [1, 1, 1, 1])
  }
  t.throws(() => ops.maxPool2d(zeros([1, 1, 4, 4]), { kernelSize: 2, dilation: 4 }), refused('SHAPE_MISMATCH'))
})

test('options that make no sense are refused', (t) => {
  const x = zeros([1, 1, 4, 4])
  for (const options of [
    undefined,
    null,
    {},
    { kernelSize: 0 },
    { kernelSize: 1.5 },
    { kernelSize: [2] },
    { kernelSize: '2' },
    { kernelSize: 2, stride: 0 },
    { kernelSize: 2, padding: 2 },
    { kernelSize: 2, padding: -1 },
    { kernelSize: 2, dilation: 0 },
  ])
    t.throws(() => ops.maxPool2d(x, options as never), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.maxPool2d(zeros([4, 4]), { kernelSize: 2 }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.maxPool1d(x, { kernelSize: 2 }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.maxPool2d(tensor(new Int32Array(16), [1, 1, 4, 4]), { kernelSize: 2 }), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.adaptiveAvgPool2d(x, [2]), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.adaptiveAvgPool2d(zeros([1, 1, 0, 4]), 1), refused('SHAPE_MISMATCH'))
})

test('images without a batch dimension, and batches of none', (t) => {
  t.deepEqual(ops.maxPool2d(zeros([3, 4, 6]), { kernelSize: 2 }).shape, [3, 2, 3])
  t.deepEqual(ops.maxPool2d(zeros([0, 3, 4, 6]), { kernelSize: 2 }).shape, [0, 3, 2, 3])
  t.deepEqual(ops.avgPool1d(zeros([3, 6]), { kernelSize: 2 }).shape, [3, 3])
  t.deepEqual(ops.adaptiveMaxPool2d(zeros([3, 4, 6]), [1, 2]).shape, [3, 1, 2])
})

test('the first of equal values gives index and gradient, at any width', (t) => {
  for (const width of [2, 7, 16, 33, 70]) {
    const x = image(6, width, () => 1)
    x.requiresGrad = true
    const { values, indices } = ops.maxPool2dWithIndices(x, { kernelSize: 2 })
    values.backward(tensor(new Float32Array(values.size).fill(1), values.shape))
    const places = new Set(indices.data)
    t.is(places.size, indices.size)
    for (let h = 0; h < 3; h++) for (let w = 0; w < values.shape[3]; w++) t.is(indices.data[h * values.shape[3] + w], 2 * h * width + 2 * w)
    for (let i = 0; i < x.size; i++) t.is((x.grad as Tensor).data[i], places.has(i) ? 1 : 0)
  }
})

test('−∞ everywhere still has a place, and NaN is larger than anything', (t) => {
  const low = ops.maxPool2dWithIndices(
    image(4, 40, () => Number.NEGATIVE_INFINITY),
    { kernelSize: 3, stride: 1, padding: 1 },
  )
  t.true(low.values.data.every((value) => value === Number.NEGATIVE_INFINITY))
  t.true(low.indices.data.every((place) => place >= 0 && place < 160))
  const { values, indices } = ops.maxPool2dWithIndices(
    image(2, 40, (i) => (i === 5 ? NaN : i)),
    { kernelSize: 2 },
  )
  t.true(Number.isNaN(values.data[2]))
  t.is(indices.data[2], 5)
  t.is(values.data[3], 47)
})

test('indices are the same whether a gradient is recorded or not, and where every window is at an edge', (t) => {
  for (const [height, width] of [
    [1, 1],
    [2, 3],
    [5, 4],
    [3, 50],
  ]) {
    const x = image(height, width, (i) => Math.sin(i * 12.9898) * 43758.5453)
    x.requiresGrad = true
    const options = { kernelSize: 4, stride: 1, padding: 2 }
    const { values, indices } = ops.maxPool2dWithIndices(x, options)
    t.deepEqual(noGrad(() => ops.maxPool2d(x, options)).toArray(), values.toArray())
    indices.data.forEach((place, i) => {
      t.is(x.data[place], values.data[i])
    })
  }
})

test('the mean of a constant image is that constant wherever padding does not count', (t) => {
  for (const kernelSize of [1, 2, 3, 5])
    for (const stride of [1, 2, 3]) {
      const options = { kernelSize, stride, padding: Math.floor(kernelSize / 2), ceilMode: true, countIncludePad: false }
      for (const value of ops.avgPool2d(
        image(11, 37, () => 0.75),
        options,
      ).data)
        t.true(Math.abs(value - 0.75) < 1e-6)
    }
})

test('adaptive windows that divide the image are plain ones', (t) => {
  const x = image(12, 20, (i) => Math.sin(i))
  const plain = ops.avgPool2d(x, { kernelSize: [3, 5] }).data
  ops.adaptiveAvgPool2d(x, 4).data.forEach((value, i) => {
    t.true(Math.abs(value - plain[i]) < 1e-6)
  })
  t.deepEqual(ops.adaptiveMaxPool2d(x, 4).toArray(), ops.maxPool2d(x, { kernelSize: [3, 5] }).toArray())
})

test('with and without indices the same values, zeros by their sign and NaN too, at any width', (t) => {
  const some = [0, -0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const dtype of [Float32Array, Float64Array])
    for (let width = 2; width < 72; width++)
      for (const height of [2, 5]) {
        const x = tensor(new dtype(Array.from({ length: 3 * height * width }, (_, i) => some[(i * i * 7 + (i >> 2) * 5 + width) % (i % 3 === 0 ? 4 : 7)])), [
          3,
          height,
          width,
        ])
        const plain = noGrad(() => ops.maxPool2d(x, { kernelSize: 2 }))
        x.requiresGrad = true
        const recorded = ops.maxPool2d(x, { kernelSize: 2 })
        t.true([...plain.data].every((value, i) => Object.is(value, recorded.data[i])))
      }
})
