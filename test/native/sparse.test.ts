import test from 'ava'
import { EspalierError, Finish, native, SparseKernel } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const random = randomSource(23)
const noise = (length: number): Float32Array => Float32Array.from({ length }, () => random() * 2 - 1)

// Generated where this instruction set has an emitter, portable always.
const kernels = native.isa() === 'baseline' || process.env.ESPALIER_JIT === '0' ? (['portable'] as const) : (['portable', 'generated'] as const)

/** Masks that kernels could stumble over. */
const masks: Record<string, (row: number, column: number, rows: number, columns: number) => boolean> = {
  'one in ten': () => random() < 0.1,
  half: () => random() < 0.5,
  'every entry': () => true,
  'no entry': () => false,
  'one entry': (row, column, rows, columns) => row === rows >> 1 && column === columns - 1,
  'empty rows': (row) => row % 3 === 1 && random() < 0.5,
  'empty columns': (_, column) => column % 4 === 2,
  'one full row': (row) => row === 0,
}
const shapes: readonly (readonly [rows: number, columns: number, samples: number])[] = [
  [1, 1, 1],
  [28, 16, 16],
  [29, 17, 15],
  [6, 40, 31],
  [64, 100, 33],
  [3, 700, 5],
  [57, 1000, 20],
  [7, 5, 400],
]

interface Sparse {
  readonly number: number
  readonly rows: number
  readonly columns: number
  /** Row-major, 0 where nothing is kept. */
  readonly dense: Float64Array
  readonly kept: readonly number[]
}

function sparse(rows: number, columns: number, keeps: (row: number, column: number, rows: number, columns: number) => boolean, kernel: SparseKernel): Sparse {
  const weight = noise(rows * columns)
  const mask = Uint8Array.from(weight, (_, i) => Number(keeps(Math.floor(i / columns), i % columns, rows, columns)))
  const number = native.sparseCreate(rows, columns, weight, mask, kernel)
  const dense = Float64Array.from(weight, (value, i) => value * mask[i])
  return { number, rows, columns, dense, kept: Array.from(mask.keys()).filter((i) => mask[i] === 1) }
}

/** The largest error of W·X or Wᵀ·X, in units of what float32 sums of so many terms may err. */
function worstOfProduct({ number, rows, columns, dense }: Sparse, samples: number, transpose: boolean, byRow: boolean, bias: boolean, relu: boolean): number {
  const [inputs, outputs] = transpose ? [rows, columns] : [columns, rows]
  const x = noise(inputs * samples)
  const plus = bias ? noise(outputs) : null
  const y = new Float32Array(outputs * samples).fill(NaN)
  native.spmm(number, Number(transpose), samples, Number(byRow), x, plus, relu ? Finish.relu : Finish.none, y)
  let worst = 0
  for (let o = 0; o < outputs; o++)
    for (let s = 0; s < samples; s++) {
      let sum = plus?.[o] ?? 0
      let size = Math.abs(sum)
      for (let i = 0; i < inputs; i++) {
        const term = dense[transpose ? i * columns + o : o * columns + i] * x[byRow ? s * inputs + i : i * samples + s]
        sum += term
        size += Math.abs(term)
      }
      const error = Math.abs(y[byRow ? s * outputs + o : o * samples + s] - (relu ? Math.max(sum, 0) : sum))
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / (size * (inputs + 2) * 2 ** -24 + 1e-40))
    }
  return worst
}

/** The same for the entries of dY·Xᵀ that are kept. */
function worstOfSampled({ number, rows, columns, kept }: Sparse, samples: number, byRow: boolean): number {
  const [dy, x] = [noise(rows * samples), noise(columns * samples)]
  const values = new Float32Array(kept.length).fill(NaN)
  native.sddmm(number, samples, Number(byRow), dy, x, values)
  let worst = 0
  for (const [i, position] of kept.entries()) {
    const [row, column] = [Math.floor(position / columns), position % columns]
    let sum = 0
    let size = 0
    for (let s = 0; s < samples; s++) {
      const term = dy[byRow ? s * rows + row : row * samples + s] * x[byRow ? s * columns + column : column * samples + s]
      sum += term
      size += Math.abs(term)
    }
    const error = Math.abs(values[i] - sum)
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / (size * (samples + 2) * 2 ** -24 + 1e-40))
  }
  return worst
}

for (const kernel of kernels)
  for (const [name, keeps] of Object.entries(masks))
    test(`${kernel}, ${name}: products and sampled products are those of float64`, (t) => {
      for (const [rows, columns, samples] of shapes) {
        const matrix = sparse(rows, columns, keeps, SparseKernel[kernel])
        t.is(native.sparseSize(matrix.number), matrix.kept.length)
        const positions = new Int32Array(matrix.kept.length)
        native.sparsePositions(matrix.number, positions)
        t.deepEqual([...positions], matrix.kept)
        for (const transpose of [false, true])
          for (const byRow of [false, true])
            for (const [bias, relu] of [
              [false, false],
              [true, true],
            ])
              t.true(
                worstOfProduct(matrix, samples, transpose, byRow, bias, relu) <= 1,
                JSON.stringify({ rows, columns, samples, transpose, byRow, bias, relu }),
              )
        for (const byRow of [false, true]) t.true(worstOfSampled(matrix, samples, byRow) <= 1, JSON.stringify({ rows, columns, samples, byRow }))
        native.sparseFree(matrix.number)
      }
    })

for (const kernel of kernels)
  test(`${kernel}: new values need no new matrix; both products follow`, (t) => {
    const matrix = sparse(40, 30, masks.half, SparseKernel[kernel])
    for (let round = 0; round < 3; round++) {
      for (const transpose of [false, true]) t.true(worstOfProduct(matrix, 20, transpose, true, true, false) <= 1)
      const bytes = native.sparseCodeSize(matrix.number)
      t.is(bytes > 0, kernel === 'generated')
      const values = noise(matrix.kept.length)
      native.sparseSetValues(matrix.number, values)
      for (const [i, position] of matrix.kept.entries()) matrix.dense[position] = values[i]
      const read = new Float32Array(values.length)
      native.sparseValues(matrix.number, read)
      t.deepEqual(read, values)
      t.is(native.sparseCodeSize(matrix.number), bytes)
    }
    native.sparseFree(matrix.number)
  })

for (const kernel of kernels)
  test(`${kernel}: NaN and infinity pass through, ReLU keeps NaN`, (t) => {
    const number = native.sparseCreate(2, 2, Float32Array.of(1, 0, 0, 1), null, SparseKernel[kernel])
    const y = new Float32Array(2)
    native.spmm(number, 0, 1, 0, Float32Array.of(NaN, Infinity), null, Finish.relu, y)
    t.deepEqual(y, Float32Array.of(NaN, Infinity))
    native.sparseFree(number)
  })

test('the same bits from 1, 2, 3 and 8 threads', (t) => {
  const before = native.threads()
  for (const kernel of kernels) {
    const matrix = sparse(300, 700, masks['one in ten'], SparseKernel[kernel])
    const runs = [1, 2, 3, 8].map((threads) => {
      native.setThreads(threads)
      const [x, dy] = [new Float32Array(700 * 500).map((_, i) => Math.sin(i)), new Float32Array(300 * 500).map((_, i) => Math.cos(i))]
      const [y, few, values] = [new Float32Array(300 * 500), new Float32Array(300 * 40), new Float32Array(matrix.kept.length)]
      native.spmm(matrix.number, 0, 500, 1, x, null, Finish.none, y)
      native.spmm(matrix.number, 0, 40, 0, x.subarray(0, 700 * 40), null, Finish.none, few)
      native.sddmm(matrix.number, 500, 1, dy, x, values)
      return [...y, ...few, ...values]
    })
    for (const run of runs.slice(1)) t.deepEqual(run, runs[0])
    native.sparseFree(matrix.number)
  }
  native.setThreads(before)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) => t.is(t.throws(call, { instanceOf: EspalierError })?.code as string, code)
  const number = native.sparseCreate(2, 3, noise(6), null, SparseKernel.automatic)
  refused('INVALID_ARGUMENT', () => native.spmm(number + 1000, 0, 1, 0, noise(3), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.spmm(number, 0, 1, 0, noise(2), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.spmm(number, 1, 1, 0, noise(2), noise(2), Finish.none, noise(3)))
  refused('DTYPE_MISMATCH', () => native.spmm(number, 0, 1, 0, new Float64Array(3), null, Finish.none, noise(2)))
  refused('INVALID_ARGUMENT', () => native.spmm(number, 2, 1, 0, noise(3), null, Finish.none, noise(2)))
  refused('INVALID_ARGUMENT', () => native.spmm(number, 0, -1, 0, noise(3), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.sparseSetValues(number, noise(7)))
  refused('SHAPE_MISMATCH', () => native.sddmm(number, 1, 0, noise(2), noise(2), noise(6)))
  refused('SHAPE_MISMATCH', () => native.sparseCreate(2, 3, noise(5), null, SparseKernel.automatic))
  refused('SHAPE_MISMATCH', () => native.sparseCreate(2, 3, noise(6), new Uint8Array(5), SparseKernel.automatic))
  refused('DTYPE_MISMATCH', () => native.sparseCreate(2, 3, noise(6), new Int32Array(6), SparseKernel.automatic))
  refused('INVALID_ARGUMENT', () => native.sparseCreate(2 ** 16, 2 ** 16, noise(6), null, SparseKernel.automatic))
  if (!kernels.includes('generated' as never))
    refused('INVALID_ARGUMENT', () => {
      const wanted = native.sparseCreate(2, 3, noise(6), null, SparseKernel.generated)
      native.spmm(wanted, 0, 1, 0, noise(3), null, Finish.none, noise(2))
    })
  native.sparseFree(number)
  refused('INVALID_ARGUMENT', () => native.sparseFree(number))
})
