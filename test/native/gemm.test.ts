import test from 'ava'
import { Dtype, EspalierError, Finish, native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

type Floats = Float32Array | Float64Array
const random = randomSource(11)
const noise = (length: number): number[] => Array.from({ length }, () => random() * 2 - 1)

interface Call {
  m: number
  n: number
  k: number
  transposeA: number
  transposeB: number
  alpha?: number
  beta?: number
  /** Elements between the end of a stored row and the next one. */
  gap?: number
  rowBias?: boolean
  columnBias?: boolean
  relu?: boolean
}

/** One product by the kernel, packed and not, and by plain sums in float64 with a bound on the error. */
function run(Storage: typeof Float32Array | typeof Float64Array, call: Call) {
  const { m, n, k, transposeA, transposeB, alpha = 1, beta = 0, gap = 0, relu = false } = call
  const lda = Math.max(1, (transposeA ? m : k) + gap)
  const ldb = Math.max(1, (transposeB ? k : n) + gap)
  const ldc = Math.max(1, n + gap)
  const a = new Storage(noise((transposeA ? k : m) * lda))
  const b = new Storage(noise((transposeB ? n : k) * ldb))
  const before = new Storage(noise(m * ldc))
  const rowBias = call.rowBias ? new Storage(noise(m)) : null
  const columnBias = call.columnBias ? new Storage(noise(n)) : null
  const finish = relu ? Finish.relu : Finish.none

  // With beta = 0 nothing of what stands in C may come through, NaN least of all.
  const start = (): Floats => {
    const c = before.slice()
    if (beta === 0) for (let i = 0; i < m; i++) c.fill(NaN, i * ldc, i * ldc + n)
    return c
  }
  const plain = start()
  native.gemm(alpha, a, b, beta, rowBias, columnBias, finish, plain, m, n, k, transposeA, transposeB, lda, ldb, ldc)
  const weights = new Storage(native.gemmPackSize(n, k, Storage === Float32Array ? Dtype.float32 : Dtype.float64))
  native.gemmPack(n, k, transposeB, ldb, b, weights)
  const packed = start()
  native.gemmPacked(alpha, a, weights, beta, rowBias, columnBias, finish, packed, m, n, k, transposeA, 0, lda, ldb, ldc)

  const epsilon = Storage === Float32Array ? 2 ** -24 : 2 ** -53
  let worst = 0
  for (const c of [plain, packed])
    for (let i = 0; i < m; i++)
      for (let j = 0; j < ldc; j++) {
        const at = i * ldc + j
        if (j >= n) {
          if (c[at] !== before[at]) worst = Infinity
          continue
        }
        let sum = 0
        let size = 0
        for (let p = 0; p < k; p++) {
          const term = a[transposeA ? p * lda + i : i * lda + p] * b[transposeB ? j * ldb + p : p * ldb + j]
          sum += term
          size += Math.abs(term)
        }
        let expected = alpha * sum
        if (beta !== 0) expected += beta * before[at]
        expected += (rowBias?.[i] ?? 0) + (columnBias?.[j] ?? 0)
        if (relu) expected = Math.max(0, expected)
        const allowed = epsilon * ((k + 6) * Math.abs(alpha) * size + 6 * (Math.abs(beta) + 2))
        const error = Math.abs(c[at] - expected) / allowed
        worst = Number.isNaN(error) ? Infinity : Math.max(worst, error)
      }
  return { worst, plain, packed }
}

const types = [Float32Array, Float64Array] as const
const transposes = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const

for (const Storage of types)
  for (const [transposeA, transposeB] of transposes)
    test(`${Storage.name}, transposes ${transposeA}${transposeB}: within the rounding of k terms at odd sizes`, (t) => {
      const sizes = [0, 1, 2, 5, 13, 17, 31, 37]
      for (const m of sizes)
        for (const n of sizes) for (const k of [0, 1, 3, 19, 67]) t.true(run(Storage, { m, n, k, transposeA, transposeB }).worst <= 1, `${m}×${k}×${n}`)
      // Several passes over k, several groups of columns, rows that collide in the cache.
      for (const [m, k, n] of [
        [3, 2053, 7],
        [17, 1031, 41],
        [2, 5, 1061],
        [1, 1031, 1040],
        [11, 300, 9],
        [43, 6, 1031],
        [29, 512, 131],
        [131, 33, 67],
      ])
        t.true(run(Storage, { m, n, k, transposeA, transposeB }).worst <= 1, `${m}×${k}×${n}`)
    })

for (const Storage of types)
  test(`${Storage.name}: alpha, beta, leading dimensions and what follows`, (t) => {
    for (const [transposeA, transposeB] of transposes)
      for (const [m, k, n] of [
        [1, 1, 1],
        [5, 7, 3],
        [16, 8, 32],
        [19, 1100, 37],
        [23, 0, 5],
      ])
        for (const alpha of [1, 0, -0.5])
          for (const beta of [0, 1, 0.25])
            for (const gap of [0, 3])
              for (const extra of [{}, { rowBias: true }, { columnBias: true, relu: true }]) {
                const call = { m, n, k, transposeA, transposeB, alpha, beta, gap, ...extra }
                t.true(run(Storage, call).worst <= 1, JSON.stringify(call))
              }
  })

test('packing changes no bit, where both go by panels', (t) => {
  for (const Storage of types)
    for (const [m, k, n] of [
      [8, 5, 7],
      [37, 300, 45],
      [64, 1500, 40],
      [9, 40, 1100],
    ]) {
      const { plain, packed } = run(Storage, { m, n, k, transposeA: 0, transposeB: 1 })
      t.deepEqual(plain, packed, `${m}×${k}×${n}`)
    }
})

test('the same bits from 1, 2, 3 and 8 threads', (t) => {
  const threads = native.threads()
  try {
    for (const [m, k, n] of [
      [1, 700, 500],
      [70, 300, 410],
      [300, 1100, 90],
      [512, 512, 40],
      [14, 64, 2100],
    ])
      for (const [transposeA, transposeB] of transposes) {
        const a = Float32Array.from(noise(m * k))
        const b = Float32Array.from(noise(k * n))
        const results = [1, 2, 3, 8].map((count) => {
          native.setThreads(count)
          const c = new Float32Array(m * n)
          native.gemm(1, a, b, 0, null, null, Finish.none, c, m, n, k, transposeA, transposeB, transposeA ? m : k, transposeB ? k : n, n)
          const batched = new Float32Array(10 * n)
          native.matmul(1, n, 7, 0, 0, [10], [1], [10], a.subarray(0, 70), b.subarray(0, 7 * n), batched)
          const sums = new Float32Array(n)
          native.columnSum(k, n, b, sums)
          return [c, batched, sums]
        })
        for (const result of results.slice(1)) t.deepEqual(result, results[0])
      }
  } finally {
    native.setThreads(threads)
  }
})

test('column sums agree with plain ones', (t) => {
  for (const Storage of types)
    for (const rows of [0, 1, 2, 255, 256, 700])
      for (const columns of [0, 1, 3, 16, 63, 64, 65, 130]) {
        const x = new Storage(noise(rows * columns))
        const y = new Storage(columns).fill(NaN)
        native.columnSum(rows, columns, x, y)
        const epsilon = Storage === Float32Array ? 2 ** -24 : 2 ** -53
        for (let j = 0; j < columns; j++) {
          let sum = 0
          for (let i = 0; i < rows; i++) sum += x[i * columns + j]
          t.true(Math.abs(y[j] - sum) <= epsilon * rows * rows, `${rows}×${columns}`)
        }
      }
})

test('a batch along which C is 1 adds its products up; an empty one gives zeros', (t) => {
  const a = Float32Array.from(noise(4 * 3 * 2))
  const b = Float32Array.from(noise(4 * 2 * 5))
  const each = new Float32Array(4 * 3 * 5)
  native.matmul(3, 5, 2, 0, 0, [4], [4], [4], a, b, each)
  const sum = new Float32Array(3 * 5)
  native.matmul(3, 5, 2, 0, 0, [4], [4], [1], a, b, sum)
  for (let i = 0; i < 15; i++) t.true(Math.abs(sum[i] - (each[i] + each[15 + i] + each[30 + i] + each[45 + i])) < 1e-5)
  native.matmul(3, 5, 2, 0, 0, [0], [1], [1], new Float32Array(0), b.subarray(0, 10), sum)
  t.deepEqual(sum, new Float32Array(15))
  sum.fill(NaN)
  native.matmul(3, 5, 0, 0, 0, [2 ** 50], [1], [1], new Float32Array(0), new Float32Array(0), sum)
  t.deepEqual(sum, new Float32Array(15))
})

test('wrong sizes are refused and change nothing', (t) => {
  const a = new Float32Array(6)
  const b = new Float32Array(6)
  const refuse = (code: string, call: () => void): void => {
    const error = t.throws(call, { instanceOf: EspalierError })
    t.is(error?.code, code as EspalierError['code'])
  }
  const c = new Float32Array(4).fill(7)
  const product = (m: number, n: number, k: number, ta = 0, tb = 0, lda = k, ldb = n, ldc = n) =>
    native.gemm(1, a, b, 0, null, null, Finish.none, c, m, n, k, ta, tb, lda, ldb, ldc)
  refuse('SHAPE_MISMATCH', () => product(2, 2, 4))
  refuse('SHAPE_MISMATCH', () => product(3, 2, 2))
  refuse('INVALID_ARGUMENT', () => product(2, 2, 3, 2))
  refuse('INVALID_ARGUMENT', () => product(2, 2, 3, 0, -1))
  refuse('INVALID_ARGUMENT', () => product(2, 2, 3, 0, 0, 2))
  refuse('INVALID_ARGUMENT', () => product(2, 2, 3, 0, 0, 3, 2, 1))
  refuse('INVALID_ARGUMENT', () => product(-2, 2, 3))
  refuse('INVALID_ARGUMENT', () => product(2 ** 52, 2 ** 52, 3))
  refuse('SHAPE_MISMATCH', () => product(2, 2, 3, 0, 0, 2 ** 52))
  refuse('SHAPE_MISMATCH', () => native.gemm(1, a, b, 0, new Float32Array(1), null, Finish.none, c, 2, 2, 3, 0, 0, 3, 2, 2))
  refuse('SHAPE_MISMATCH', () => native.gemm(1, a, b, 0, null, new Float32Array(3), Finish.none, c, 2, 2, 3, 0, 0, 3, 2, 2))
  refuse('INVALID_ARGUMENT', () => native.gemm(1, a, b, 0, null, null, 2 as Finish, c, 2, 2, 3, 0, 0, 3, 2, 2))
  refuse('DTYPE_MISMATCH', () => native.gemm(1, new Float64Array(6), b, 0, null, null, Finish.none, c, 2, 2, 3, 0, 0, 3, 2, 2))
  refuse('DTYPE_MISMATCH', () => native.gemm(1, a, b, 0, null, null, Finish.none, new Int32Array(4), 2, 2, 3, 0, 0, 3, 2, 2))
  const weights = new Float32Array(native.gemmPackSize(2, 3, Dtype.float32))
  const packed = (n: number, k: number) => native.gemmPacked(1, a, weights, 0, null, null, Finish.none, c, 2, n, k, 0, 0, k, n, n)
  refuse('INVALID_ARGUMENT', () => packed(2, 3))
  native.gemmPack(2, 3, 0, 2, b, weights)
  refuse('INVALID_ARGUMENT', () => packed(1, 3))
  refuse('SHAPE_MISMATCH', () => packed(2, 2))
  refuse('SHAPE_MISMATCH', () => native.gemmPack(2, 4, 0, 2, b, weights))
  refuse('INVALID_ARGUMENT', () => native.gemmPackSize(2 ** 40, 2 ** 40, Dtype.float32))
  refuse('DTYPE_MISMATCH', () => native.gemmPackSize(2, 2, Dtype.int8))
  refuse('SHAPE_MISMATCH', () => native.matmul(1, 1, 1, 0, 0, [2], [3], [3], a.subarray(0, 2), b.subarray(0, 3), c.subarray(0, 3)))
  refuse('SHAPE_MISMATCH', () => native.matmul(1, 1, 1, 0, 0, [2], [2, 1], [2], a.subarray(0, 2), b.subarray(0, 2), c.subarray(0, 2)))
  refuse('SHAPE_MISMATCH', () => native.columnSum(2, 3, a, c))
  t.deepEqual(c, new Float32Array(4).fill(7))
})
