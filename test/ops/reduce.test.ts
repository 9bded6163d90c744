import test from 'ava'
import { EspalierError, Generator, ops, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { randomSource } from '../support/gradcheck.js'

/** The sum over marked dimensions, by definition, in float64. */
function slowSum({ data, shape }: Tensor, marks: readonly boolean[]): number[] {
  const kept = shape.map((dimension, d) => (marks[d] ? 1 : dimension))
  const result = new Array<number>(kept.reduce((product, dimension) => product * dimension, 1)).fill(0)
  for (let i = 0; i < data.length; i++) {
    let rest = i
    let place = 0
    let step = 1
    for (let d = shape.length - 1; d >= 0; d--) {
      if (!marks[d]) place += (rest % shape[d]) * step
      step *= kept[d]
      rest = Math.floor(rest / shape[d])
    }
    result[place] += data[i]
  }
  return result
}

test('sums over any dimensions agree with their definition', (t) => {
  const random = randomSource(5)
  const pick = (n: number): number => Math.floor(random() * n)
  const generator = new Generator(2)
  for (let round = 0; round < 200; round++) {
    const shape = Array.from({ length: pick(6) }, () => [1, 2, 3, 7, 18][pick(5)])
    if (round % 10 === 0 && shape.length > 0) shape[pick(shape.length)] = 0
    const marks = shape.map(() => random() < 0.5)
    const x = generator.normal(shape, { dtype: 'float64' })
    const dim = [...marks.keys()].filter((d) => marks[d])
    const got = x.sum({ dim })
    t.deepEqual(
      got.shape,
      shape.filter((_, d) => !marks[d]),
    )
    slowSum(x, marks).forEach((value, i) => {
      if (Math.abs(value - got.data[i]) > 1e-10) t.fail(`shape [${shape}] dim [${dim}]`)
    })
  }
})

test('long sums: pieces, columns and rows', (t) => {
  const generator = new Generator(3)
  for (const [shape, dim] of [
    [[200_000], 0],
    [[70_000, 3], 0],
    [[3, 70_000], 1],
    [[5000, 40], 0],
    [[2, 3000, 17], 1],
    [
      [3, 700, 2, 50],
      [0, 2],
    ],
    [[2, 1500, 600], 1],
  ] as [number[], number | number[]][]) {
    const x = generator.normal(shape, { dtype: 'float64' })
    const dims = [dim].flat()
    const got = x.sum({ dim }).data
    slowSum(
      x,
      shape.map((_, d) => dims.includes(d)),
    ).forEach((value, i) => {
      if (Math.abs(value - got[i]) > 1e-9) t.fail(`[${shape}] over ${dim}: ${got[i]}, expected ${value}`)
    })
  }
  t.pass()
})

test('float32 sums stay accurate where adding one by one would not', (t) => {
  const n = 2_000_000
  const x = ops.add(tensor(new Float32Array(n)), 0.1)
  t.true(Math.abs(x.sum().item() / (n * Math.fround(0.1)) - 1) < 2 ** -21)
  const tall = x.reshape([n / 4, 4]).sum({ dim: 0 })
  for (const value of tall.data) t.true(Math.abs(value / ((n / 4) * Math.fround(0.1)) - 1) < 2 ** -21)
  t.true(Math.abs(x.mean().item() / Math.fround(0.1) - 1) < 2 ** -21)
})

test('bits do not depend on the number of threads', (t) => {
  const generator = new Generator(4)
  const [a, b] = [generator.normal([300_007]), generator.normal([4, 9000, 21])]
  const run = () => [a.sum(), b.sum({ dim: [0, 2] }), b.sum({ dim: 1 }), a.max(), b.argmax({ dim: 1 }), b.mean({ dim: 0 })].map((y) => y.data)
  const before = native.threads()
  native.setThreads(1)
  const one = run()
  native.setThreads(3)
  t.deepEqual(run(), one)
  native.setThreads(before)
})

test('nothing to add gives 0, nothing to average NaN', (t) => {
  t.deepEqual([...tensor([[], []]).sum({ dim: 1 }).data], [0, 0])
  t.true(Number.isNaN(tensor([]).mean().item()))
  t.is(tensor([]).sum().item(), 0)
  t.deepEqual(tensor(3).sum().shape, [])
})

test('largest and smallest: the first of equal ones, NaN above all', (t) => {
  const generator = new Generator(5)
  for (const dtype of ['float32', 'float64'] as const)
    for (const [shape, dim] of [
      [[1], 0],
      [[5], 0],
      [[33], 0],
      [[100], 0],
      [[3, 70], 1],
      [[70, 3], 0],
      [[2, 40, 19], 1],
      [[2, 3, 40], 2],
      [[4, 1, 5], 1],
    ] as [number[], number][]) {
      // Few distinct values, so that ties abound.
      const x = tensor(generator.uniform(shape, { min: -3, max: 3, dtype }).round().data, shape)
      if (shape[dim] > 30) x.data[7] = NaN
      const [outer, n, inner] = [shape.slice(0, dim), [shape[dim]], shape.slice(dim + 1)].map((part) => part.reduce((a, b) => a * b, 1))
      for (const sign of [1, -1]) {
        const { values, indices } = sign === 1 ? x.maxWithIndices({ dim }) : x.minWithIndices({ dim })
        const only = sign === 1 ? x.argmax({ dim }) : x.argmin({ dim })
        t.deepEqual(only.data, indices.data)
        for (let o = 0; o < outer; o++)
          for (let i = 0; i < inner; i++) {
            const line = Array.from({ length: n }, (_, k) => x.data[(o * n + k) * inner + i])
            const best = line.some(Number.isNaN) ? NaN : sign * Math.max(...line.map((value) => sign * value))
            const at = line.findIndex((value) => Object.is(value + 0, best + 0))
            if (!Object.is(values.data[o * inner + i] + 0, best + 0) || indices.data[o * inner + i] !== at)
              t.fail(`[${shape}] ${dtype}: ${values.data[o * inner + i]} at ${indices.data[o * inner + i]}, expected ${best} at ${at}`)
          }
      }
    }
  t.pass()
})

test('variance and deviation', (t) => {
  const x = tensor([
    [1, 2, 3, 4],
    [2, 2, 2, 10],
  ])
  t.deepEqual([...x.variance({ dim: 1 }).data], [5 / 3, 16].map(Math.fround))
  t.deepEqual([...x.variance({ dim: 1, correction: 0 }).data], [1.25, 12])
  t.deepEqual(x.std({ dim: 1, keepdim: true }).shape, [2, 1])
  t.is(x.std({ dim: 1 }).data[1], 4)
  t.true(Math.abs(tensor([10001, 10002, 10003]).variance().item() - 1) < 1e-6)
})

test('bad reductions are refused', (t) => {
  const x = tensor([[1, 2]])
  const calls: [string, () => unknown][] = [
    ['INVALID_ARGUMENT', () => x.sum({ dim: 2 })],
    ['INVALID_ARGUMENT', () => x.sum({ dim: -3 })],
    ['INVALID_ARGUMENT', () => x.sum({ dim: [0, -2] })],
    ['INVALID_ARGUMENT', () => x.sum({ dim: 0.5 })],
    ['INVALID_ARGUMENT', () => x.max({ dim: 2 })],
    ['SHAPE_MISMATCH', () => tensor([]).max()],
    ['SHAPE_MISMATCH', () => tensor([[], []]).argmax({ dim: 1 })],
    ['DTYPE_MISMATCH', () => ops.sum(tensor([1], { dtype: 'int32' }))],
    ['SHAPE_MISMATCH', () => native.sum([2], [1], 1, new Float32Array(2), new Float32Array(2))],
    ['SHAPE_MISMATCH', () => native.sum([2], [1, 0], 1, new Float32Array(2), new Float32Array(1))],
    ['INVALID_ARGUMENT', () => native.sum([2], [2], 1, new Float32Array(2), new Float32Array(1))],
    ['INVALID_ARGUMENT', () => native.extreme(1, 0, 1, 1, new Float32Array(0), null, null)],
    ['INVALID_ARGUMENT', () => native.extreme(1, 1, 1, 2, new Float32Array(1), null, null)],
    ['INVALID_ARGUMENT', () => native.place(1, 2, 1, new Float32Array(1), Int32Array.of(2), new Float32Array(2))],
  ]
  for (const [code, call] of calls) t.throws(call, { instanceOf: EspalierError, code }, String(call))
})
