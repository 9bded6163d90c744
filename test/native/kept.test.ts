// What a mask keeps, moved to and from where it stands alone; and what its products are expected to take.
import test from 'ava'
import fc from 'fast-check'
import { EspalierError, kernels } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'

const positionsOf = (mask: readonly boolean[]): Int32Array => Int32Array.from(mask.keys()).filter((i) => mask[i])

test('kept entries are taken out and put back, on any number of threads', (t) => {
  const before = native.threads()
  try {
    for (const threads of [1, 2, 3]) {
      native.setThreads(threads)
      fc.assert(
        fc.property(
          fc.array(fc.boolean(), { maxLength: 70 }),
          fc.constantFrom(1, 5000),
          fc.constantFrom(Float32Array, Float64Array),
          (once, repeats, Floats) => {
            const mask = Array.from({ length: repeats }, () => once).flat()
            const positions = positionsOf(mask)
            const weight = new Floats(mask.length).map((_, i) => Math.fround(Math.sin(i)))
            const values = new Floats(positions.length)
            native.gatherKept(weight, positions, values)
            if (!values.every((value, i) => value === weight[positions[i]])) throw new Error('gathered something else')
            const back = new Floats(mask.length).fill(7)
            native.scatterKept(values, positions, back)
            if (!back.every((value, i) => value === (mask[i] ? weight[i] : 7))) throw new Error('scattered elsewhere')
          },
        ),
        { numRuns: 30 },
      )
    }
  } finally {
    native.setThreads(before)
  }
  t.pass()
})

test('positions that do not ascend, or lie outside, are refused and nothing is written', (t) => {
  for (const index of [[1, 1], [2, 1], [-1, 0], [0, 3], [3]]) {
    const weight = Float32Array.of(1, 2, 3)
    const values = new Float32Array(index.length)
    const expected = { instanceOf: EspalierError, code: 'INVALID_ARGUMENT', message: /index\[\d\] is -?\d, expected ascending ones from 0 to 2/ }
    t.throws(() => native.gatherKept(weight, Int32Array.from(index), values), expected)
    t.throws(() => native.scatterKept(values, Int32Array.from(index), weight), expected)
    t.deepEqual([...weight], [1, 2, 3])
    t.deepEqual(
      [...values],
      index.map(() => 0),
    )
  }
})

test('a mask is told from any that differs in one entry', (t) => {
  for (const n of [0, 1, 15, 16, 17, 100, 200_003]) {
    const kept = Uint8Array.from({ length: n }, (_, i) => Number(i % 3 === 0))
    const mask = Float32Array.from(kept)
    t.is(native.keepsSame(mask, kept), 1)
    for (const i of n === 0 ? [] : [0, n >> 1, n - 1])
      for (const other of [1 - mask[i], 0.5, Number.NaN]) {
        const before = mask[i]
        mask[i] = other
        t.is(native.keepsSame(mask, kept), 0, `${n}, entry ${i} is ${other}`)
        mask[i] = before
      }
  }
})

test('expected times: sparse ones fall with what is kept, dense ones do not', (t) => {
  const random = (size: number, density: number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => Number(((i * 2654435761) % 1000) / 1000 < density))
  const linear = [0.05, 0.2, 0.5].map((density) => {
    using matrix = new kernels.SparseMatrix(random(256 * 256, density), 256, 256)
    return matrix.costs(64)
  })
  const convolution = [0.05, 0.2, 0.5].map((density) => {
    using made = new kernels.SparseConv2d(random(64 * 64 * 9, density), 64, 64, 3)
    return made.costs(made.geometry(8, 16, 16, { padding: 1 }))
  })
  for (const [few, some, many] of [linear, convolution])
    for (const product of [0, 1, 2]) {
      t.true(few.sparse[product] > 0 && few.sparse[product] < some.sparse[product] && some.sparse[product] < many.sparse[product])
      t.true(few.sparse[product] < few.dense[product])
      t.is(few.dense[product], many.dense[product])
    }
})
