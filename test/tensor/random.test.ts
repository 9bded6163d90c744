import test from 'ava'
import { EspalierError, Generator, manualSeed, rand, randn } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'

test('Philox 4x32-10 gives its published first block for key and counter 0', (t) => {
  const words = [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]
  t.deepEqual(
    [...new Generator(0).uniform([4]).data],
    words.map((word) => (word >>> 8) / 2 ** 24),
  )
  t.is(new Generator(0).uniform([1], { dtype: 'float64' }).data[0], (words[0] * 2 ** 21 + (words[1] >>> 11)) / 2 ** 53)
})

test('a seed fixes what is drawn, and a state takes it up again', (t) => {
  const a = new Generator(9)
  const first = a.normal([1001])
  const state = a.state
  const second = a.uniform([7, 3])
  const order = a.permutation(50)
  const b = new Generator(9)
  t.deepEqual(b.normal([1001]).data, first.data)
  t.deepEqual(b.state, state)
  b.manualSeed(1)
  b.state = state
  t.deepEqual(b.uniform([7, 3]).data, second.data)
  t.deepEqual(b.permutation(50).data, order.data)
  t.notDeepEqual(new Generator(10).normal([1001]).data, first.data)
  manualSeed(3)
  const from3 = [rand([4]).data, randn([4]).data]
  manualSeed(3)
  t.deepEqual([rand([4]).data, randn([4]).data], from3)
})

test('drawing in two calls of whole blocks draws the same numbers', (t) => {
  const a = new Generator(5)
  const b = new Generator(5)
  const all = a.normal([40]).data
  t.deepEqual([...b.normal([24]).data, ...b.normal([16]).data], [...all])
})

test('the bits do not depend on the number of threads', (t) => {
  const before = native.threads()
  const draw = () => [new Generator(1).normal([100_003]).data, new Generator(1).uniform([100_003]).data, new Generator(1).bernoulli([100_003]).data]
  native.setThreads(1)
  const one = draw()
  native.setThreads(3)
  t.deepEqual(draw(), one)
  native.setThreads(before)
})

for (const dtype of ['float32', 'float64'] as const) {
  test(`uniform ${dtype}: moments and range`, (t) => {
    const { data } = new Generator(2).uniform([200_000], { min: -1, max: 3, dtype })
    const { mean, deviation, lowest, highest } = moments(data)
    t.true(lowest >= -1 && lowest < -0.999 && highest < 3 && highest > 2.999)
    t.true(Math.abs(mean - 1) < 0.01 && Math.abs(deviation - 4 / Math.sqrt(12)) < 0.01)
  })
  test(`normal ${dtype}: moments and tails`, (t) => {
    const { data } = new Generator(2).normal([200_000], { mean: 0.5, std: 2, dtype })
    const { mean, deviation } = moments(data)
    t.true(Math.abs(mean - 0.5) < 0.02 && Math.abs(deviation - 2) < 0.02)
    const share = (limit: number) => data.filter((value: number) => Math.abs((value - 0.5) / 2) > limit).length / data.length
    t.true(Math.abs(share(1) - 0.3173) < 0.005 && Math.abs(share(2) - 0.0455) < 0.003 && Math.abs(share(3) - 0.0027) < 0.0006)
    // Neighbours, which may come from one pair of uniform numbers, are not correlated.
    let product = 0
    for (let i = 0; i + 1 < data.length; i++) product += ((data[i] - 0.5) / 2) * ((data[i + 1] - 0.5) / 2)
    t.true(Math.abs(product / data.length) < 0.01)
  })
}

test('bernoulli: its share, its value, and its ends', (t) => {
  const { data } = new Generator(4).bernoulli([100_000], { p: 0.3, value: 2.5 })
  t.deepEqual(
    [...new Set(data)].sort((a, b) => a - b),
    [0, 2.5],
  )
  t.true(Math.abs(data.filter((value: number) => value > 0).length / data.length - 0.3) < 0.006)
  t.true(new Generator(4).bernoulli([1000], { p: 0 }).data.every((value: number) => value === 0))
  t.true(new Generator(4).bernoulli([1000], { p: 1 }).data.every((value: number) => value === 1))
})

test('permutation: every number once, every place equally likely', (t) => {
  const generator = new Generator(6)
  for (const n of [0, 1, 2, 33, 1000]) {
    const sorted = [...generator.permutation(n).data].sort((a, b) => a - b)
    t.deepEqual(
      sorted,
      Array.from({ length: n }, (_, i) => i),
    )
  }
  const counts = new Int32Array(25)
  for (let round = 0; round < 10_000; round++) for (const [place, value] of generator.permutation(5).data.entries()) counts[5 * place + value]++
  for (const count of counts) t.true(Math.abs(count - 2000) < 200)
})

test('bad arguments are refused and draw nothing', (t) => {
  const generator = new Generator(1)
  const before = generator.state
  const bad: (() => unknown)[] = [
    () => new Generator(-1),
    () => new Generator(0.5),
    () => new Generator(2 ** 60),
    () => generator.uniform([2], { min: 1, max: 0 }),
    () => generator.uniform([2], { min: NaN }),
    () => generator.uniform([-1]),
    () => generator.uniform([2], { dtype: 'int32' }),
    () => generator.uniform(3 as never),
    () => generator.normal([2], { std: -1 }),
    () => generator.bernoulli([2], { p: 1.5 }),
    () => generator.permutation(-1),
    () => generator.permutation(2 ** 31),
    () => generator.permutation(1.5),
    () => {
      generator.state = { seed: 1, counter: NaN }
    },
  ]
  for (const call of bad) t.throws(call, { instanceOf: EspalierError })
  t.deepEqual(generator.state, before)
})

function moments(data: ArrayLike<number>) {
  let sum = 0
  let square = 0
  let lowest = Infinity
  let highest = -Infinity
  for (let i = 0; i < data.length; i++) {
    sum += data[i]
    square += data[i] ** 2
    lowest = Math.min(lowest, data[i])
    highest = Math.max(highest, data[i])
  }
  const mean = sum / data.length
  return { mean, deviation: Math.sqrt(square / data.length - mean ** 2), lowest, highest }
}
