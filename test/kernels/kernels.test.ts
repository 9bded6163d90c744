import test from 'ava'
import { EspalierError, kernels } from '../../lib/index.js'

const refused = (t: { is(a: unknown, b: unknown): void; throws(f: () => unknown, e: object): Error | undefined }, code: string, call: () => unknown) =>
  t.is((t.throws(call, { instanceOf: EspalierError }) as EspalierError | undefined)?.code, code)

test('a sparse matrix multiplies, by rows and columns, transposed, with bias and ReLU', (t) => {
  const matrix = new kernels.SparseMatrix(Float32Array.of(0, 2, 0, -1, 0, 3), 2, 3)
  t.is(matrix.count, 3)
  t.deepEqual([...matrix.positions()], [1, 3, 5])
  const x = Float32Array.of(1, 2, 3, 10, 20, 30)
  t.deepEqual([...matrix.multiply(x)], [4, 8, 40, 80])
  t.deepEqual([...matrix.multiply(Float32Array.of(1, 10, 2, 20, 3, 30), { layout: 'columns' })], [4, 40, 8, 80])
  t.deepEqual([...matrix.multiply(Float32Array.of(1, 1), { transpose: true })], [-1, 2, 3])
  t.deepEqual([...matrix.multiply(x, { bias: Float32Array.of(-5, 1), relu: true })], [0, 9, 35, 81])
  const out = new Float32Array(4)
  t.is(matrix.multiply(x, { out }), out)
  t.deepEqual([...matrix.sampled(Float32Array.of(1, 1, 2, 2), x)], [42, 21, 63])
  matrix.dispose()
  matrix.dispose()
  refused(t, 'STATE', () => matrix.multiply(x))
})

test('a mask keeps entries that are 0, and they may become others', (t) => {
  const matrix = new kernels.SparseMatrix(new Float32Array(4), 2, 2, { mask: Uint8Array.of(1, 0, 0, 1), format: 'rows' })
  t.deepEqual([...matrix.multiply(Float32Array.of(1, 1))], [0, 0])
  t.is(matrix.codeSize, 0)
  matrix.setValues(Float32Array.of(5, 6))
  t.deepEqual([...matrix.values()], [5, 6])
  t.deepEqual([...matrix.multiply(Float32Array.of(1, 1))], [5, 6])
})

test('formats are named, chosen, told apart and counted', (t) => {
  const weight = Float32Array.from({ length: 64 * 64 }, (_, i) => Number((i >> 6) % 8 < 4))
  const automatic = new kernels.SparseMatrix(weight, 64, 64)
  t.true(['generated', 'channels', '4x1', '4x4', '1x4'].includes(automatic.format))
  t.is(automatic.formatFor(1), 'vector')
  t.deepEqual(automatic.unpack(), weight)
  const before = automatic.bytes
  const making = automatic.makingTime
  const x = Float32Array.from({ length: 64 * 32 }, (_, i) => Math.sin(i))
  const y = automatic.multiply(x)
  t.true(automatic.bytes > before)
  // What is made is made once, and its time is known.
  const made = automatic.makingTime
  t.true(making > 0 && made > making)
  automatic.multiply(x)
  t.is(automatic.makingTime, made)
  for (const format of ['rows', 'vector', 'fan-in', '4x1', '4x64'] as const) {
    const mask = format === 'fan-in' ? new Uint8Array(64 * 64).fill(1) : undefined
    const matrix = new kernels.SparseMatrix(weight, 64, 64, { format, mask })
    t.is(matrix.format, format)
    t.true(matrix.cost(32) > matrix.cost(1))
    t.true(matrix.multiply(x).every((value, i) => Math.abs(value - y[i]) < 1e-5))
  }
  // A chain in panels is packed once.
  const panels = new Float32Array(2 * 64 * 16)
  for (let s = 0; s < 32; s++) for (let c = 0; c < 64; c++) panels[((s >> 4) * 64 + c) * 16 + (s & 15)] = x[s * 64 + c]
  const inPanels = automatic.multiply(panels, { layout: 'panels' })
  t.is(inPanels[(64 + 1) * 16 + 3], y[(16 + 3) * 64 + 1])
  t.is(automatic.multiply(panels, { layout: 'panels', samples: 20 }).length, inPanels.length)
  refused(t, 'INVALID_ARGUMENT', () => new kernels.SparseMatrix(weight, 64, 64, { format: '2:4' }))
  refused(t, 'SHAPE_MISMATCH', () => automatic.multiply(panels.subarray(64), { layout: 'panels' }))
  refused(t, 'SHAPE_MISMATCH', () => automatic.multiply(x, { samples: 31 }))
})

test('masks and the largest of several arrays', (t) => {
  t.deepEqual([...kernels.applyMask(Float32Array.of(1, 2, 3), Float32Array.of(1, 0, 0.5))], [1, 0, 1.5])
  const { masks, threshold } = kernels.topkL1([Float32Array.of(3, -1), Float32Array.of(0.5, -2)], 2)
  t.deepEqual(
    masks.map((mask) => [...mask]),
    [
      [1, 0],
      [0, 1],
    ],
  )
  t.is(threshold, 1)
  t.is(kernels.topkL1([Float32Array.of(1)], 1).threshold, -Infinity)
})

test('what is refused', (t) => {
  const weight = new Float32Array(6)
  const matrix = new kernels.SparseMatrix(weight, 2, 3)
  refused(t, 'SHAPE_MISMATCH', () => new kernels.SparseMatrix(weight, 2, 2))
  refused(t, 'INVALID_ARGUMENT', () => new kernels.SparseMatrix(weight, 1.5, 4))
  refused(t, 'DTYPE_MISMATCH', () => new kernels.SparseMatrix(new Float64Array(6) as never, 2, 3))
  refused(t, 'SHAPE_MISMATCH', () => new kernels.SparseMatrix(weight, 2, 3, { mask: new Uint8Array(5) }))
  refused(t, 'DTYPE_MISMATCH', () => new kernels.SparseMatrix(weight, 2, 3, { mask: new Int32Array(6) as never }))
  refused(t, 'INVALID_ARGUMENT', () => new kernels.SparseMatrix(weight, 2, 3, { format: 'quick' as never }))
  refused(t, 'SHAPE_MISMATCH', () => matrix.multiply(new Float32Array(4)))
  refused(t, 'SHAPE_MISMATCH', () => matrix.multiply(new Float32Array(3), { out: new Float32Array(3) }))
  refused(t, 'SHAPE_MISMATCH', () => matrix.multiply(new Float32Array(3), { bias: new Float32Array(3) }))
  refused(t, 'INVALID_ARGUMENT', () => matrix.multiply(new Float32Array(3), { layout: 'diagonal' as never }))
  refused(t, 'SHAPE_MISMATCH', () => matrix.sampled(new Float32Array(2), new Float32Array(4)))
  refused(t, 'SHAPE_MISMATCH', () => matrix.setValues(weight))
  refused(t, 'SHAPE_MISMATCH', () => kernels.applyMask(weight, new Uint8Array(5)))
  refused(t, 'INVALID_ARGUMENT', () => kernels.topkL1([weight], 7))
  refused(t, 'INVALID_ARGUMENT', () => kernels.topkL1([Float32Array.of(NaN)], 0))
})
