// Every convolution kernel against its definition, computed naively in float64.
import test from 'ava'
import { type Conv2d, EspalierError, native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

interface Geometry {
  n: number
  groups: number
  /** Channels of one group. */
  input: number
  output: number
  size: readonly [number, number]
  kernel: readonly [number, number]
  stride?: readonly [number, number]
  padding?: readonly [number, number]
  dilation?: readonly [number, number]
  /** The output's size, where it is not the usual one. */
  out?: readonly [number, number]
}

const same = [1, 1] as const
const none = [0, 0] as const

function numbersOf({ n, groups, input, output, size, kernel, stride = same, padding = none, dilation = same, out }: Geometry): Conv2d {
  const usual = size.map((length, i) => Math.max(0, Math.floor((length + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1))
  const [height, width] = out ?? usual
  return [n, input * groups, ...size, output * groups, height, width, ...kernel, ...stride, ...padding, ...dilation, groups] as unknown as Conv2d
}

/** Calls `visit` with the indices in x, weight and y of every product of a convolution. */
function eachProduct(geometry: Conv2d, visit: (x: number, weight: number, y: number) => void): void {
  const [n, inChannels, inHeight, inWidth, outChannels, outHeight, outWidth, kh, kw, strideHeight, strideWidth, top, left, downStep, rightStep, groups] =
    geometry
  const input = inChannels / groups
  const output = outChannels / groups
  for (let b = 0; b < n; b++)
    for (let o = 0; o < outChannels; o++)
      for (let c = 0; c < input; c++)
        for (let p = 0; p < kh; p++)
          for (let q = 0; q < kw; q++) {
            const weight = ((o * input + c) * kh + p) * kw + q
            const plane = (b * inChannels + Math.floor(o / output) * input + c) * inHeight
            for (let i = 0; i < outHeight; i++) {
              const row = i * strideHeight + p * downStep - top
              if (row < 0 || row >= inHeight) continue
              for (let j = 0; j < outWidth; j++) {
                const column = j * strideWidth + q * rightStep - left
                if (column >= 0 && column < inWidth) visit((plane + row) * inWidth + column, weight, ((b * outChannels + o) * outHeight + i) * outWidth + j)
              }
            }
          }
}

type Floats = Float32Array | Float64Array
type FloatsConstructor = typeof Float32Array | typeof Float64Array

function worst(actual: Floats, expected: Float64Array): number {
  let difference = 0
  let magnitude = 1e-30
  for (let i = 0; i < expected.length; i++) {
    const distance = Math.abs(actual[i] - expected[i])
    if (!(distance <= difference)) difference = distance
    magnitude = Math.max(magnitude, Math.abs(expected[i]))
  }
  return difference / Math.max(1, magnitude)
}

interface Results {
  y: Floats
  rectified: Floats
  dx: Floats
  transposed: Floats
  dweight: Floats
}

function operands(geometry: Conv2d, Floats: FloatsConstructor, seed: number) {
  const [n, inChannels, inHeight, inWidth, outChannels, outHeight, outWidth, kh, kw, , , , , , , groups] = geometry
  const random = randomSource(seed)
  const values = (length: number) => new Floats(Float64Array.from({ length }, () => random() * 2 - 1))
  return {
    x: values(n * inChannels * inHeight * inWidth),
    weight: values(outChannels * (inChannels / groups) * kh * kw),
    dy: values(n * outChannels * outHeight * outWidth),
    bias: values(outChannels),
    inBias: values(inChannels),
  }
}

/** All results of a geometry; outputs start as NaN, so that what is not written shows. */
function compute(geometry: Conv2d, { x, weight, dy, bias, inBias }: ReturnType<typeof operands>): Results {
  const like = <A extends Floats>(array: A) => (array.slice() as A).fill(Number.NaN) as A
  const results = { y: like(dy), rectified: like(dy), dx: like(x), transposed: like(x), dweight: like(weight) }
  native.conv2dForward(x, weight, bias, 0, results.y, ...geometry)
  native.conv2dForward(x, weight, null, 1, results.rectified, ...geometry)
  native.conv2dDataGrad(weight, dy, null, results.dx, ...geometry)
  native.conv2dDataGrad(weight, dy, inBias, results.transposed, ...geometry)
  native.conv2dWeightGrad(x, dy, results.dweight, ...geometry)
  return results
}

/** The largest relative error of each kernel. */
function errors(geometry: Conv2d, Floats: FloatsConstructor, seed: number): Record<string, number> {
  const given = operands(geometry, Floats, seed)
  const { x, weight, dy, bias, inBias } = given
  const results = compute(geometry, given)
  const [n, inChannels, inHeight, inWidth, outChannels, outHeight, outWidth] = geometry
  const y = new Float64Array(dy.length)
  const dx = new Float64Array(x.length)
  const dweight = new Float64Array(weight.length)
  eachProduct(geometry, (i, w, o) => {
    y[o] += x[i] * weight[w]
    dx[i] += dy[o] * weight[w]
    dweight[w] += dy[o] * x[i]
  })
  const sums = new Floats(outChannels)
  native.channelSum(n, outChannels, outHeight * outWidth, dy, sums)
  const expectedSums = new Float64Array(outChannels)
  dy.forEach((value: number, i: number) => {
    expectedSums[Math.floor(i / (outHeight * outWidth)) % outChannels] += value
  })
  return {
    forward: worst(
      results.y,
      y.map((value, i) => value + bias[Math.floor(i / (outHeight * outWidth)) % outChannels]),
    ),
    rectified: worst(
      results.rectified,
      y.map((value) => Math.max(value, 0)),
    ),
    dataGrad: worst(results.dx, dx),
    transposed: worst(
      results.transposed,
      dx.map((value, i) => value + inBias[Math.floor(i / (inHeight * inWidth)) % inChannels]),
    ),
    weightGrad: worst(results.dweight, dweight),
    channelSum: worst(sums, expectedSums),
  }
}

function check(t: { true(value: boolean, message?: string): void }, geometry: Conv2d, seed: number): void {
  for (const [Floats, tolerance] of [
    [Float32Array, 2e-5],
    [Float64Array, 1e-13],
  ] as const)
    for (const [kernel, error] of Object.entries(errors(geometry, Floats, seed)))
      t.true(error <= tolerance, `${kernel} of ${Floats.name} at [${geometry}]: relative error ${error}`)
}

test('random geometries agree with the definition', (t) => {
  const random = randomSource(20261122)
  const whole = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
  const pair = (low: number, high: number) => [whole(low, high), whole(low, high)] as const
  for (let round = 0; round < 300; round++) {
    const depthwise = random() < 0.2
    const geometry = numbersOf({
      // Many images and small planes favour one view of the data, few and wide ones the other.
      n: random() < 0.4 ? whole(9, 40) : whole(0, 3),
      groups: random() < 0.3 ? whole(2, 4) : 1,
      input: depthwise ? 1 : whole(0, 6),
      output: depthwise ? whole(1, 2) : random() < 0.2 ? whole(13, 18) : whole(0, 8),
      size: random() < 0.3 ? [whole(0, 6), whole(10, 37)] : pair(0, 9),
      kernel: pair(1, 4),
      stride: pair(1, 3),
      padding: pair(0, 3),
      dilation: pair(1, 3),
      out: random() < 0.2 ? pair(0, 12) : undefined,
    })
    check(t, geometry, round)
  }
})

test('random geometries of many channels agree with the definition', (t) => {
  const random = randomSource(20261127)
  const whole = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))
  for (let round = 0; round < 60; round++) {
    const kernel = whole(1, 4)
    const geometry = numbersOf({
      n: whole(1, 2),
      groups: random() < 0.2 ? 2 : 1,
      input: whole(8, 20),
      output: whole(14, 50),
      size: [whole(1, 12), whole(9, 30)],
      kernel: [whole(1, 3), kernel],
      stride: random() < 0.3 ? [whole(1, 2), whole(1, 3)] : same,
      padding: [whole(0, 2), whole(0, kernel)],
      dilation: random() < 0.2 ? [whole(1, 2), whole(1, 2)] : same,
    })
    check(t, geometry, round)
  }
})

const named: Record<string, Geometry> = {
  'one by one on planes': { n: 3, groups: 1, input: 17, output: 30, size: [5, 7], kernel: [1, 1] },
  'one by one with stride': { n: 2, groups: 1, input: 5, output: 9, size: [20, 33], kernel: [1, 1], stride: [2, 2] },
  'kernel larger than the image': { n: 2, groups: 1, input: 2, output: 3, size: [2, 3], kernel: [7, 9], padding: [4, 5] },
  'depthwise with a multiplier': { n: 2, groups: 6, input: 1, output: 3, size: [18, 35], kernel: [3, 3], padding: [1, 1] },
  'a whole number of tiles': { n: 1, groups: 1, input: 3, output: 64, size: [32, 32], kernel: [3, 3], padding: [1, 1] },
  'several bands a plane': { n: 1, groups: 1, input: 24, output: 3, size: [90, 70], kernel: [3, 3], padding: [1, 1] },
  'several bands with stride': { n: 1, groups: 1, input: 20, output: 3, size: [101, 77], kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  'several bands of a strided gradient': { n: 1, groups: 1, input: 3, output: 24, size: [131, 131], kernel: [3, 2], stride: [2, 2] },
  'several blocks of images': { n: 100, groups: 1, input: 8, output: 16, size: [6, 6], kernel: [3, 3], stride: [2, 2] },
  'many channels of small planes': { n: 17, groups: 1, input: 90, output: 40, size: [7, 7], kernel: [3, 3], padding: [1, 1] },
  'channels in the lanes, a last vector alone': { n: 2, groups: 1, input: 32, output: 48, size: [9, 20], kernel: [3, 3], padding: [1, 1] },
  'channels in the lanes, one tile a row': { n: 1, groups: 2, input: 16, output: 30, size: [12, 10], kernel: [3, 3], padding: [1, 1] },
  'channels in the lanes, borders of two': { n: 1, groups: 1, input: 16, output: 62, size: [8, 19], kernel: [5, 5], padding: [2, 2] },
  'channels in the lanes, several bands': { n: 1, groups: 1, input: 64, output: 32, size: [60, 37], kernel: [3, 3], padding: [1, 1] },
  'channels in the lanes, strided bands': { n: 1, groups: 1, input: 32, output: 48, size: [121, 41], kernel: [3, 3], stride: [2, 2], padding: [1, 1] },
  'stride beyond the kernel': { n: 20, groups: 1, input: 2, output: 3, size: [11, 13], kernel: [2, 2], stride: [5, 4] },
  'stride beyond what is usual': { n: 2, groups: 1, input: 2, output: 3, size: [50, 90], kernel: [2, 3], stride: [17, 40] },
  'padding beyond what is usual': { n: 1, groups: 1, input: 1, output: 2, size: [3, 3], kernel: [2, 2], padding: [5000, 0], stride: [2500, 1] },
  'dilation beyond what is usual': { n: 1, groups: 1, input: 1, output: 2, size: [2, 300], kernel: [1, 3], dilation: [1, 100] },
}
for (const [name, geometry] of Object.entries(named)) test(name, (t) => check(t, numbersOf(geometry), 1))

test('absurd geometries of empty tensors end at once', (t) => {
  const most = 2 ** 31 - 1
  const empty = new Float32Array(0)
  const grad = new Float32Array(4)
  t.notThrows(() => native.conv2dForward(empty, empty, null, 0, empty, 0, most, most, most, 0, most, most, most, most, most, most, most, most, most, most, 1))
  t.notThrows(() => native.conv2dDataGrad(empty, empty, null, grad, 1, 1, 2, 2, 0, most, 0, most, most, 1, 1, 0, 0, 1, 1, 1))
  t.deepEqual(grad, new Float32Array(4))
  t.notThrows(() => native.conv2dWeightGrad(empty, empty, grad.fill(1), 0, 1, most, most, 1, most, 0, 2, 2, 1, 1, 0, 0, most, most, 1))
  t.deepEqual(grad, new Float32Array(4))
})

test('wrong lengths and values are errors', (t) => {
  const at = (length: number) => new Float32Array(length)
  const shape = [1, 2, 4, 4, 2, 2, 2, 3, 3, 1, 1, 0, 0, 1, 1, 1] as Conv2d
  const code = (body: () => void) => (t.throws(body, { instanceOf: EspalierError }) as EspalierError).code
  const changed = (index: number, value: number) => shape.map((number, i) => (i === index ? value : number)) as unknown as Conv2d
  t.is(
    code(() => native.conv2dForward(at(31), at(36), null, 0, at(8), ...shape)),
    'SHAPE_MISMATCH',
  )
  t.is(
    code(() => native.conv2dForward(at(32), at(36), at(3), 0, at(8), ...shape)),
    'SHAPE_MISMATCH',
  )
  t.is(
    code(() => native.conv2dForward(at(32), new Float64Array(36), null, 0, at(8), ...shape)),
    'DTYPE_MISMATCH',
  )
  for (const [index, value] of [
    [0, -1],
    [3, 2 ** 32 + 5],
    [7, 0],
    [9, 0],
    [11, -1],
    [13, 0],
    [15, 0],
    [15, 3],
  ])
    t.is(
      code(() => native.conv2dForward(at(32), at(36), null, 0, at(8), ...changed(index, value))),
      'INVALID_ARGUMENT',
    )
  t.is(
    code(() => native.conv2dForward(at(32), at(36), null, 2, at(8), ...shape)),
    'INVALID_ARGUMENT',
  )
})

const bytesOf = (values: Floats) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)

test.serial('the bits do not depend on the threads', (t) => {
  const before = native.threads()
  const geometries = [
    numbersOf({ n: 9, groups: 1, input: 16, output: 20, size: [32, 32], kernel: [3, 3], padding: [1, 1] }),
    numbersOf({ n: 9, groups: 1, input: 32, output: 40, size: [20, 20], kernel: [3, 3], padding: [1, 1] }),
    numbersOf({ n: 150, groups: 2, input: 4, output: 8, size: [9, 9], kernel: [3, 3], stride: [2, 2] }),
    numbersOf({ n: 2, groups: 24, input: 1, output: 1, size: [90, 90], kernel: [5, 5], padding: [2, 2] }),
  ]
  try {
    for (const geometry of geometries) {
      const given = operands(geometry, Float32Array, 3)
      native.setThreads(1)
      const alone = compute(geometry, given)
      for (const threads of [2, 3, 8]) {
        native.setThreads(threads)
        for (const [name, values] of Object.entries(compute(geometry, given)))
          t.true(bytesOf(values).equals(bytesOf(alone[name as keyof Results])), `${name} on ${threads} threads at [${geometry}]`)
      }
    }
  } finally {
    native.setThreads(before)
  }
})
