import test from 'ava'
import { EspalierError, Generator, ops, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { randomSource } from '../support/gradcheck.js'

const ulp = (value: number): number => 2 ** (Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -126))) - 23)

/** The largest error of a float32 operation over a range, in units in the last place of the float64 one. */
function worstUlp(op: (x: Tensor) => Tensor, low: number, high: number, count = 20_011): number {
  const xs = Float32Array.from({ length: count }, (_, i) => low + ((high - low) * i) / (count - 1))
  const got = op(tensor(xs)).data
  const exact = op(tensor(Float64Array.from(xs))).data
  let worst = 0
  for (let i = 0; i < count; i++) worst = Math.max(worst, Math.abs(got[i] - exact[i]) / ulp(exact[i]))
  return worst
}

const accuracy: [name: string, op: (x: Tensor) => Tensor, low: number, high: number, limit: number][] = [
  ['exp', ops.exp, -87, 88.7, 2],
  ['log near 1', ops.log, 0.5, 2, 2],
  ['log', ops.log, 1e-30, 1e30, 2],
  ['tanh', ops.tanh, -10, 10, 2],
  ['sigmoid', ops.sigmoid, -80, 20, 4],
  ['silu', ops.silu, -80, 20, 5],
  ['elu', ops.elu, -20, 3, 2],
  ['gelu', ops.gelu, -5, 10, 8],
  ['gelu, far below', ops.gelu, -13, -5, 10],
  ['sqrt', ops.sqrt, 0, 1e6, 1],
  ['pow', (x) => ops.pow(x, 1.7), 0.1, 10, 3],
]
for (const [name, op, low, high, limit] of accuracy)
  test(`${name}: float32 within ${limit} units in the last place`, (t) => {
    const worst = worstUlp(op, low, high)
    t.true(worst <= limit, `${worst}`)
  })

test('values at the ends: NaN stays, infinities, zeros, subnormals', (t) => {
  const at = [NaN, Infinity, -Infinity, 0, 1e-40]
  const expected: [(x: Tensor) => Tensor, number[]][] = [
    [ops.exp, [NaN, Infinity, 0, 1, 1]],
    [ops.log, [NaN, Infinity, NaN, -Infinity, Math.log(Math.fround(1e-40))]],
    [ops.tanh, [NaN, 1, -1, 0, 1e-40]],
    [ops.sigmoid, [NaN, 1, 0, 0.5, 0.5]],
    [ops.relu, [NaN, Infinity, 0, 0, 1e-40]],
    [ops.abs, [NaN, Infinity, Infinity, 0, 1e-40]],
    [ops.sign, [NaN, 1, -1, 0, 1]],
    [ops.round, [NaN, Infinity, -Infinity, 0, 0]],
    [ops.sqrt, [NaN, Infinity, NaN, 0, Math.sqrt(Math.fround(1e-40))]],
    [(x) => ops.clamp(x, -1, 2), [NaN, 2, -1, 0, 1e-40]],
    [(x) => ops.maximum(x, 1), [NaN, Infinity, 1, 1, 1]],
    [(x) => ops.minimum(x, 1), [NaN, 1, -Infinity, 0, 1e-40]],
  ]
  for (const [op, values] of expected) {
    const got = [...op(tensor(at)).data]
    values.forEach((value, i) => {
      const close = Object.is(got[i], value) || Math.abs(got[i] - value) <= Math.max(2 ** -149, 1e-6 * Math.abs(value))
      t.true(close, `${op.name} of ${at[i]}: ${got[i]}, expected ${value}`)
    })
  }
})

test('round takes halves to the even number', (t) => {
  t.deepEqual([...ops.round(tensor([0.5, 1.5, 2.5, -0.5, -1.5, 2.4])).data], [0, 2, 2, -0, -2, 2])
})

test('a gradient at a kink', (t) => {
  const gradient = (op: (x: Tensor) => Tensor, at: number): number => {
    const x = tensor([at], { requiresGrad: true })
    op(x).sum().backward()
    return (x.grad as Tensor).item()
  }
  t.is(gradient(ops.relu, 0), 0)
  t.is(gradient(ops.abs, 0), 0)
  t.is(
    gradient((x) => ops.leakyRelu(x, 0.25), 0),
    0.25,
  )
  t.is(
    gradient((x) => ops.clamp(x, -1, 1), 1),
    1,
  )
  t.is(
    gradient((x) => ops.clamp(x, -1, 1), -1),
    1,
  )
  t.is(
    gradient((x) => ops.maximum(x, 2), 2),
    0.5,
  )
  t.is(
    gradient((x) => ops.pow(x, 0), 0),
    0,
  )
})

test('broadcasting agrees with loops over many shapes', (t) => {
  const random = randomSource(3)
  const pick = (n: number): number => Math.floor(random() * n)
  const generator = new Generator(8)
  for (let round = 0; round < 300; round++) {
    const common = Array.from({ length: pick(5) }, () => [0, 1, 2, 3, 5, 17][pick(6)])
    const shrink = (): number[] => common.slice(pick(common.length + 1)).map((dimension) => (random() < 0.4 ? 1 : dimension))
    const a = generator.normal(shrink(), { dtype: 'float64' })
    const b = generator.normal(shrink(), { dtype: 'float64' })
    const y = a.sub(b)
    const at = (x: Tensor, index: readonly number[]): number =>
      x.data[x.shape.reduce((place, dimension, d) => place * dimension + (dimension === 1 ? 0 : index[d + y.rank - x.rank]), 0)]
    for (let i = 0; i < y.size; i++) {
      let rest = i
      const index = new Array<number>(y.rank)
      for (let d = y.rank - 1; d >= 0; d--) {
        index[d] = rest % y.shape[d]
        rest = Math.floor(rest / y.shape[d])
      }
      if (y.data[i] !== at(a, index) - at(b, index)) t.fail(`shapes [${a.shape}] and [${b.shape}] at ${index}`)
    }
  }
  t.pass()
})

test('large operands, beyond what one thread takes: values and bits for any number of threads', (t) => {
  const generator = new Generator(1)
  const long = generator.normal([100_003])
  const matrix = generator.normal([300, 401])
  const row = generator.normal([401])
  const column = generator.normal([300, 1])
  const wide = generator.normal([2, 70_000])
  const run = (): Float32Array[] =>
    [
      long.add(long),
      long.mul(0.5),
      long.gelu(),
      matrix.add(row),
      matrix.mul(column),
      row.sub(matrix),
      column.div(matrix),
      wide.add(generator.state.seed),
      wide.mul(wide.sum({ dim: 1, keepdim: true })),
      long.tanh(),
    ].map((y) => y.data as Float32Array)
  const before = native.threads()
  native.setThreads(1)
  const one = run()
  native.setThreads(4)
  t.deepEqual(run(), one)
  native.setThreads(before)
  t.true(one[0].every((value, i) => value === Math.fround(2 * long.data[i])))
  t.true(one[3].every((value, i) => value === Math.fround(matrix.data[i] + row.data[i % 401])))
  t.true(one[5].every((value, i) => value === Math.fround(row.data[i % 401] - matrix.data[i])))
  t.true(one[4].every((value, i) => value === Math.fround(matrix.data[i] * column.data[Math.floor(i / 401)])))
})

test('bad operands are refused', (t) => {
  const x = tensor([1, 2, 3])
  const whole = tensor([1, 2, 3], { dtype: 'int32' })
  const calls: [string, () => unknown][] = [
    ['SHAPE_MISMATCH', () => x.add(tensor([1, 2]))],
    ['DTYPE_MISMATCH', () => x.add(tensor([1, 2, 3], { dtype: 'float64' }))],
    ['DTYPE_MISMATCH', () => ops.add(whole, whole)],
    ['DTYPE_MISMATCH', () => ops.relu(whole)],
    ['INVALID_ARGUMENT', () => x.add('1' as never)],
    ['INVALID_ARGUMENT', () => x.add(undefined as never)],
    ['INVALID_ARGUMENT', () => ops.add(1 as never, x)],
    ['INVALID_ARGUMENT', () => ops.relu([1, 2] as never)],
    ['INVALID_ARGUMENT', () => x.pow(NaN)],
    ['INVALID_ARGUMENT', () => x.clamp(NaN)],
    ['INVALID_ARGUMENT', () => x.leakyRelu('a' as never)],
    ['INVALID_ARGUMENT', () => ops.dropout(x, { p: 1.5 })],
    ['DTYPE_MISMATCH', () => ops.where(x, x, x)],
  ]
  for (const [code, call] of calls) t.throws(call, { instanceOf: EspalierError, code }, String(call))
})

test('the native functions check every length themselves', (t) => {
  const f = (n: number) => new Float32Array(n)
  const calls = [
    () => native.unaryForward(0, 0, 0, f(3), f(2)),
    () => native.unaryForward(99 as never, 0, 0, f(3), f(3)),
    () => native.unaryForward(0, 0, 0, f(3), new Float64Array(3)),
    () => native.unaryBackward(0, 0, 0, f(3), f(3), f(2), f(3)),
    () => native.binaryForward(0, f(3), f(2), f(3)),
    () => native.binaryForward(7 as never, f(3), f(3), f(3)),
    () => native.binaryForward(0, f(3), null, f(3)),
    () => native.binaryBroadcast(0, [3], [2], f(3), f(2), f(3)),
    () => native.binaryBroadcast(0, [3], [1], f(3), f(1), f(4)),
    () => native.binaryBroadcast(0, [2 ** 40, 2 ** 40], [1], f(3), f(1), f(4)),
    () => native.binaryBroadcast(0, [-1, -3], [1], f(3), f(1), f(3)),
    () => native.binaryBroadcast(0, [0, 2 ** 50, 2 ** 50], [1], f(1), f(1), f(0)),
  ]
  for (const call of calls) t.throws(call, { instanceOf: EspalierError }, String(call))
  t.notThrows(() => native.binaryBroadcast(0, [0, 2 ** 50, 2 ** 50], [1], f(0), f(1), f(0)))
})
