import test from 'ava'
import { type Conv2d, EspalierError, Finish, native, SparseKernel } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const random = randomSource(29)
const noise = (length: number): Float32Array => Float32Array.from({ length }, () => random() * 2 - 1)

// Generated where this instruction set has an emitter, portable always.
const kernels = native.isa() === 'baseline' || process.env.ESPALIER_JIT === '0' ? (['portable'] as const) : (['portable', 'generated'] as const)

interface Geometry {
  n: number
  input: number
  output: number
  size: readonly [number, number]
  kernel: readonly [number, number]
  stride: readonly [number, number]
  padding: readonly [number, number]
  dilation: readonly [number, number]
  groups: number
  out: readonly [number, number]
}

function geometry(
  n: number,
  input: number,
  output: number,
  size: number | readonly [number, number],
  kernel: number | readonly [number, number],
  {
    stride = 1,
    padding = 0,
    dilation = 1,
    groups = 1,
    out,
  }: { [_ in 'stride' | 'padding' | 'dilation' | 'out']?: number | readonly [number, number] } & {
    groups?: number
  } = {},
): Geometry {
  const pair = (value: number | readonly [number, number]): readonly [number, number] => (typeof value === 'number' ? [value, value] : value)
  const made = { size: pair(size), kernel: pair(kernel), stride: pair(stride), padding: pair(padding), dilation: pair(dilation) }
  const extent = [0, 1].map((i) => Math.floor((made.size[i] + 2 * made.padding[i] - made.dilation[i] * (made.kernel[i] - 1) - 1) / made.stride[i]) + 1)
  return { n, input, output, groups, ...made, out: out === undefined ? [extent[0], extent[1]] : pair(out) }
}
const numbers = ({ n, input, output, size, kernel, stride, padding, dilation, groups, out }: Geometry): Conv2d => [
  n,
  input,
  ...size,
  output,
  ...out,
  ...kernel,
  ...stride,
  ...padding,
  ...dilation,
  groups,
]

/** Whatever cuts lines, bands, groups of channels and blocks of code in unusual places. */
const geometries: readonly Geometry[] = [
  geometry(1, 1, 1, 1, 1),
  geometry(2, 3, 5, 5, 3, { padding: 1 }),
  geometry(1, 5, 30, [7, 16], 3, { padding: 1 }),
  geometry(3, 4, 29, [6, 17], 3, { padding: 1 }),
  geometry(1, 6, 7, [9, 33], 3, { padding: 1 }),
  geometry(2, 3, 4, [5, 32], [1, 3], { padding: [0, 1] }),
  geometry(1, 2, 3, [3, 64], 3, { padding: 1 }),
  // (Rows that fill lines, or part of them, whose neighbours are shifted in registers: one line, two, several images.)
  geometry(3, 5, 17, [7, 32], 3, { padding: 1 }),
  geometry(2, 4, 15, [5, 28], 3, { padding: 1 }),
  geometry(1, 3, 4, [6, 31], 5, { padding: 2 }),
  geometry(2, 3, 14, [5, 16], 3, { padding: 1 }),
  geometry(11, 3, 5, [4, 16], 5, { padding: 2 }),
  geometry(1, 4, 27, [1, 16], 3, { padding: 1 }),
  geometry(2, 3, 4, [9, 14], 5),
  geometry(2, 3, 4, [8, 15], [2, 4], { padding: [0, 1], out: [8, 15] }),
  geometry(2, 3, 4, [7, 16], [3, 3], { padding: [1, 9], dilation: [1, 9] }),
  geometry(2, 3, 4, [9, 16], 3, { stride: [2, 1], padding: 1 }),
  geometry(1, 130, 20, [4, 32], 3, { padding: 1 }),
  geometry(2, 5, 9, [1, 28], [3, 5], { stride: [2, 1], padding: [1, 0] }),
  // (Tiles: segments of a row, bands of a plane, several blocks of channels, taps near and far, planes cut anew.)
  geometry(1, 3, 5, [8, 40], 5, { padding: 2 }),
  geometry(2, 2, 3, [11, 71], 3, { padding: 1 }),
  geometry(1, 2, 5, [13, 66], 3),
  geometry(2, 70, 9, [8, 32], 3, { padding: 1 }),
  geometry(1, 90, 5, [14, 14], 3, { padding: 1 }),
  geometry(1, 3, 4, [12, 24], 3, { stride: 2, padding: 1 }),
  geometry(1, 3, 4, [25, 12], [3, 7], { stride: [3, 1], padding: [1, 3] }),
  geometry(2, 3, 5, [12, 9], 7, { padding: 3 }),
  geometry(2, 5, 7, [10, 8], 1),
  geometry(5, 3, 6, 8, 3, { padding: 1 }),
  geometry(17, 4, 6, 4, 3),
  geometry(33, 3, 5, [2, 1], [2, 1]),
  geometry(18, 2, 3, [4, 7], [3, 2]),
  geometry(2, 6, 10, 9, 1),
  geometry(2, 40, 31, 6, 1),
  geometry(1, 3, 5, [4, 1024], 1),
  geometry(2, 4, 6, 11, 3, { stride: 2, padding: 1 }),
  geometry(1, 3, 5, [12, 66], 3, { stride: 2, padding: 1 }),
  geometry(2, 5, 4, 9, 1, { stride: 2 }),
  geometry(1, 2, 3, [13, 40], [5, 4], { stride: [3, 1], padding: [2, 3] }),
  geometry(1, 2, 3, 10, 2, { stride: 4 }),
  geometry(1, 3, 4, 14, 3, { dilation: 2, padding: 2 }),
  geometry(1, 2, 3, [9, 40], 3, { dilation: [1, 9], padding: [1, 9] }),
  geometry(2, 2, 3, 12, 3, { dilation: 2, stride: 2, padding: 2 }),
  geometry(2, 6, 9, 7, 3, { groups: 3, padding: 1 }),
  geometry(2, 33, 33, 6, 3, { groups: 33, padding: 1 }),
  geometry(2, 5, 10, 8, 3, { groups: 5, padding: 1, stride: 2 }),
  geometry(1, 70, 60, [4, 18], 3, { padding: 1 }),
  geometry(2, 3, 4, 5, 7, { padding: 3 }),
  geometry(1, 2, 2, 3, 3, { padding: 40, stride: 17 }),
  geometry(1, 2, 3, 6, [2, 4], { padding: [0, 1], out: [6, 6] }),
  geometry(1, 1, 2, 4, 3, { dilation: 1 << 20, padding: 1 << 20 }),
  geometry(0, 2, 3, 5, 3),
  geometry(2, 0, 3, 5, 3),
  geometry(2, 2, 0, 5, 3),
  geometry(1, 2, 3, [0, 3], 3, { padding: 2 }),
]

type Keeps = (out: number, input: number, row: number, column: number, last: Geometry) => boolean
/** Masks that kernels could stumble over. */
const masks: Record<string, Keeps> = {
  'one in ten': () => random() < 0.1,
  // (So few that lines are taken in pairs.)
  'one in thirty': () => random() < 1 / 30,
  half: () => random() < 0.5,
  'every weight': () => true,
  'no weight': () => false,
  'one weight': (out, input, row, column, { output, kernel }) => out === output - 1 && input === 0 && row === kernel[0] - 1 && column === 0,
  'empty filters': (out) => out % 3 === 1 && random() < 0.5,
  'empty channels': (_, input) => input % 4 === 2,
  'whole kernels': (out, input) => (out * 7 + input * 3) % 4 === 0,
}

interface Sparse extends Geometry {
  readonly number: number
  readonly weight: Float32Array
  readonly mask: Uint8Array
  readonly kept: readonly number[]
}

function sparse(shape: Geometry, keeps: Keeps, kernel: SparseKernel): Sparse {
  const {
    input,
    output,
    kernel: [height, width],
    groups,
  } = shape
  const seen = input / groups
  const weight = noise(output * seen * height * width)
  const mask = Uint8Array.from(weight, (_, i) => {
    const [column, row, channel] = [i % width, Math.floor(i / width) % height, Math.floor(i / (width * height))]
    return Number(keeps(Math.floor(channel / seen), channel % seen, row, column, shape))
  })
  const number = native.sparseConv2dCreate(weight, mask, kernel, input, output, height, width, groups)
  return { ...shape, number, weight: weight.map((value, i) => value * mask[i]), mask, kept: Array.from(mask.keys()).filter((i) => mask[i] === 1) }
}

/** Calls visit(x's index, weight's index, y's index) for every product of the dense convolution that the mask keeps. */
function products(
  { n, input, output, size, kernel, stride, padding, dilation, groups, out, mask }: Sparse,
  visit: (x: number, w: number, y: number) => void,
): void {
  const [seen, made] = [input / groups, output / groups]
  for (let o = 0; o < output; o++)
    for (let c = 0; c < seen; c++)
      for (let p = 0; p < kernel[0]; p++)
        for (let q = 0; q < kernel[1]; q++) {
          const w = ((o * seen + c) * kernel[0] + p) * kernel[1] + q
          if (mask[w] === 0) continue
          for (let i = 0; i < out[0]; i++) {
            const row = i * stride[0] + p * dilation[0] - padding[0]
            if (row < 0 || row >= size[0]) continue
            for (let j = 0; j < out[1]; j++) {
              const column = j * stride[1] + q * dilation[1] - padding[1]
              if (column < 0 || column >= size[1]) continue
              for (let b = 0; b < n; b++) {
                const channel = b * input + Math.floor(o / made) * seen + c
                visit((channel * size[0] + row) * size[1] + column, w, ((b * output + o) * out[0] + i) * out[1] + j)
              }
            }
          }
        }
}

/** Sums in float64 with the sum of their terms' sizes and their number. */
class Sums {
  readonly value: Float64Array
  readonly size: Float64Array
  readonly terms: Float64Array
  constructor(length: number) {
    this.value = new Float64Array(length)
    this.size = new Float64Array(length)
    this.terms = new Float64Array(length)
  }
  add(at: number, term: number): void {
    this.value[at] += term
    this.size[at] += Math.abs(term)
    this.terms[at]++
  }
  /** The largest error of float32 results, in units of what sums of so many terms may err in any order. */
  worst(of: ArrayLike<number>): number {
    let worst = of.length === this.value.length ? 0 : Infinity
    for (let i = 0; i < this.value.length; i++) {
      const error = Math.abs(of[i] - this.value[i])
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / (this.size[i] * (this.terms[i] + 2) * 2 ** -24 + 1e-40))
    }
    return worst
  }
}

/** The worst error of each pass. */
function errors(of: Sparse): Record<string, number> {
  const [x, dy] = [noise(of.n * of.input * of.size[0] * of.size[1]), noise(of.n * of.output * of.out[0] * of.out[1])]
  const bias = noise(of.output)
  const [y, plain] = [new Float32Array(dy.length).fill(NaN), new Float32Array(dy.length).fill(NaN)]
  const [dx, dw] = [new Float32Array(x.length).fill(NaN), new Float32Array(of.kept.length).fill(NaN)]
  native.sparseConv2dForward(of.number, x, bias, Finish.relu, y, ...numbers(of))
  native.sparseConv2dForward(of.number, x, null, Finish.none, plain, ...numbers(of))
  native.sparseConv2dDataGrad(of.number, dy, dx, ...numbers(of))
  native.sparseConv2dWeightGrad(of.number, x, dy, dw, ...numbers(of))
  const [forward, withBias, dataGrad, weightGrad] = [new Sums(y.length), new Sums(y.length), new Sums(x.length), new Sums(of.weight.length)]
  const plane = of.out[0] * of.out[1]
  for (let i = 0; i < y.length; i++) withBias.add(i, bias[Math.floor(i / plane) % of.output])
  products(of, (a, w, b) => {
    forward.add(b, x[a] * of.weight[w])
    withBias.add(b, x[a] * of.weight[w])
    dataGrad.add(a, dy[b] * of.weight[w])
    weightGrad.add(w, dy[b] * x[a])
  })
  for (let i = 0; i < y.length; i++) if (withBias.value[i] < 0) withBias.value[i] = 0
  const dense = new Float32Array(of.weight.length)
  for (const [i, at] of of.kept.entries()) dense[at] = dw[i]
  return { forward: forward.worst(plain), 'bias and ReLU': withBias.worst(y), 'data gradient': dataGrad.worst(dx), 'weight gradient': weightGrad.worst(dense) }
}

for (const kernel of kernels)
  for (const [name, keeps] of Object.entries(masks))
    test(`${kernel}, ${name}: all passes are those of float64`, (t) => {
      for (const shape of geometries) {
        const made = sparse(shape, keeps, SparseKernel[kernel])
        t.is(native.sparseConv2dSize(made.number), made.kept.length)
        const positions = new Int32Array(made.kept.length)
        native.sparseConv2dPositions(made.number, positions)
        t.deepEqual([...positions], [...made.kept])
        for (const [pass, worst] of Object.entries(errors(made))) t.true(worst <= 1, `${pass} ${worst} ${JSON.stringify(shape)}`)
        native.sparseConv2dFree(made.number)
      }
    })

for (const kernel of kernels)
  test(`${kernel}: new values need no new convolution; all passes follow`, (t) => {
    const made = sparse(geometry(2, 20, 31, [5, 18], 3, { padding: 1 }), masks.half, SparseKernel[kernel])
    let bytes = 0
    for (let round = 0; round < 3; round++) {
      for (const [pass, worst] of Object.entries(errors(made))) t.true(worst <= 1, pass)
      if (round > 0) t.is(native.sparseConv2dCodeSize(made.number), bytes)
      bytes = native.sparseConv2dCodeSize(made.number)
      t.is(bytes > 0, kernel === 'generated')
      const values = noise(made.kept.length)
      native.sparseConv2dSetValues(made.number, values)
      for (const [i, at] of made.kept.entries()) made.weight[at] = values[i]
      const read = new Float32Array(values.length)
      native.sparseConv2dValues(made.number, read)
      t.deepEqual(read, values)
    }
    native.sparseConv2dFree(made.number)
  })

for (const kernel of kernels)
  test(`${kernel}: one convolution serves many geometries, also more than it remembers`, (t) => {
    const first = sparse(geometry(2, 3, 5, [6, 20], 3, { padding: 1 }), masks.half, SparseKernel[kernel])
    for (let round = 0; round < 2; round++)
      for (let width = 3; width < 10; width++) {
        const shape = geometry(1 + (width % 3), 3, 5, [4, width], 3, { padding: 1, stride: 1 + (width % 2) })
        for (const [pass, worst] of Object.entries(errors({ ...first, ...shape }))) t.true(worst <= 1, `${pass} ${width}`)
      }
    native.sparseConv2dFree(first.number)
  })

for (const kernel of kernels)
  test(`${kernel}: NaN and infinity pass through, ReLU keeps NaN`, (t) => {
    const number = native.sparseConv2dCreate(Float32Array.of(1), null, SparseKernel[kernel], 1, 1, 1, 1, 1)
    const y = new Float32Array(3)
    native.sparseConv2dForward(number, Float32Array.of(NaN, Infinity, -1), null, Finish.relu, y, ...numbers(geometry(1, 1, 1, [1, 3], 1)))
    t.deepEqual(y, Float32Array.of(NaN, Infinity, 0))
    native.sparseConv2dFree(number)
  })

for (const kernel of kernels)
  test(`${kernel}: what is infinite is in no weight's gradient but those that read it`, (t) => {
    for (const shape of geometries) {
      const made = sparse(shape, masks.half, SparseKernel[kernel])
      const [x, dy] = [noise(shape.n * shape.input * shape.size[0] * shape.size[1]), noise(shape.n * shape.output * shape.out[0] * shape.out[1])]
      if (x.length > 0) x[x.length - 1] = x[Math.floor(x.length / 3)] = Infinity
      if (dy.length > 0) dy[0] = NaN
      const [dw, expected] = [new Float32Array(made.kept.length), new Sums(made.weight.length)]
      native.sparseConv2dWeightGrad(made.number, x, dy, dw, ...numbers(shape))
      products(made, (a, w, b) => expected.add(w, dy[b] * x[a]))
      for (const [i, at] of made.kept.entries()) {
        const value = expected.value[at]
        const close = Math.abs(dw[i] - value) <= expected.size[at] * (expected.terms[at] + 2) * 2 ** -24 + 1e-40
        t.true(Number.isFinite(value) ? close : Object.is(dw[i], value), `${dw[i]} for ${value} ${JSON.stringify(shape)}`)
      }
      native.sparseConv2dFree(made.number)
    }
  })

if (kernels.length > 1)
  test('generated code and the portable kernel give the same sums, but for their order', (t) => {
    for (const shape of geometries) {
      const [portable, generated] = kernels.map((kernel) => {
        const made = sparse(shape, (o, c, p, q) => (o * 5 + c * 3 + p * 2 + q) % 4 === 0, SparseKernel[kernel])
        const values = Float32Array.from(made.kept, (i) => Math.sin(i))
        native.sparseConv2dSetValues(made.number, values)
        const x = Float32Array.from({ length: shape.n * shape.input * shape.size[0] * shape.size[1] }, (_, i) => Math.cos(i))
        const y = new Float32Array(shape.n * shape.output * shape.out[0] * shape.out[1])
        native.sparseConv2dForward(made.number, x, null, Finish.none, y, ...numbers(shape))
        native.sparseConv2dFree(made.number)
        return y
      })
      t.true(generated.every((value, i) => Math.abs(value - portable[i]) <= 1e-4))
    }
  })

test('the same bits from 1, 2, 3 and 8 threads', (t) => {
  const before = native.threads()
  const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i * step))
  for (const kernel of kernels)
    for (const shape of [
      geometry(9, 24, 40, [14, 20], 3, { padding: 1 }),
      geometry(1, 24, 40, [40, 40], 3, { padding: 1, stride: 2 }),
      geometry(20, 30, 30, 6, 3, { padding: 1, groups: 30 }),
    ]) {
      const made = sparse(shape, masks['one in ten'], SparseKernel[kernel])
      const [x, dy] = [wave(shape.n * shape.input * shape.size[0] * shape.size[1], 1), wave(shape.n * shape.output * shape.out[0] * shape.out[1], 2)]
      const runs = [1, 2, 3, 8].map((threads) => {
        native.setThreads(threads)
        const [y, dx, dw] = [new Float32Array(dy.length), new Float32Array(x.length), new Float32Array(made.kept.length)]
        native.sparseConv2dForward(made.number, x, null, Finish.none, y, ...numbers(shape))
        native.sparseConv2dDataGrad(made.number, dy, dx, ...numbers(shape))
        native.sparseConv2dWeightGrad(made.number, x, dy, dw, ...numbers(shape))
        return [y, dx, dw]
      })
      for (const run of runs.slice(1)) t.deepEqual(run, runs[0])
      native.sparseConv2dFree(made.number)
    }
  native.setThreads(before)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) => t.is(t.throws(call, { instanceOf: EspalierError })?.code as string, code)
  const create = (weight: Parameters<typeof native.sparseConv2dCreate>[0], mask: Parameters<typeof native.sparseConv2dCreate>[1] = null, groups = 1) =>
    native.sparseConv2dCreate(weight, mask, SparseKernel.automatic, 2, 3, 2, 2, groups)
  const number = create(noise(24))
  const shape = numbers(geometry(1, 2, 3, 4, 2))
  const forward = (of: number, x: Float32Array | Float64Array, y: Float32Array, sizes: Conv2d = shape, bias: Float32Array | null = null) =>
    native.sparseConv2dForward(of, x, bias, Finish.none, y, ...sizes)
  refused('INVALID_ARGUMENT', () => forward(number + 1000, noise(32), noise(27)))
  refused('SHAPE_MISMATCH', () => forward(number, noise(31), noise(27)))
  refused('SHAPE_MISMATCH', () => forward(number, noise(32), noise(26)))
  refused('SHAPE_MISMATCH', () => forward(number, noise(32), noise(27), shape, noise(2)))
  refused('DTYPE_MISMATCH', () => forward(number, new Float64Array(32), noise(27)))
  refused('SHAPE_MISMATCH', () => forward(number, noise(32), noise(27), numbers(geometry(1, 2, 3, 4, 3))))
  refused('SHAPE_MISMATCH', () => forward(number, noise(48), noise(27), numbers(geometry(1, 3, 3, 4, 2))))
  refused('INVALID_ARGUMENT', () => forward(number, noise(32), noise(27), shape.with(9, 0) as unknown as Conv2d))
  refused('SHAPE_MISMATCH', () => native.sparseConv2dDataGrad(number, noise(27), noise(31), ...shape))
  refused('SHAPE_MISMATCH', () => native.sparseConv2dWeightGrad(number, noise(32), noise(27), noise(23), ...shape))
  refused('SHAPE_MISMATCH', () => native.sparseConv2dSetValues(number, noise(7)))
  refused('SHAPE_MISMATCH', () => create(noise(23)))
  refused('SHAPE_MISMATCH', () => create(noise(24), new Uint8Array(23)))
  refused('DTYPE_MISMATCH', () => create(noise(24), new Int32Array(24)))
  refused('INVALID_ARGUMENT', () => create(noise(24), null, 2))
  refused('INVALID_ARGUMENT', () => native.sparseConv2dCreate(noise(24), null, SparseKernel.automatic, 2 ** 16, 2 ** 16, 1, 1, 1))
  if (kernels.length === 1)
    refused('INVALID_ARGUMENT', () => forward(native.sparseConv2dCreate(noise(24), null, SparseKernel.generated, 2, 3, 2, 2, 1), noise(32), noise(27)))
  native.sparseConv2dFree(number)
  refused('INVALID_ARGUMENT', () => native.sparseConv2dFree(number))
})
