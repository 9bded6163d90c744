import { existsSync, readFileSync } from 'node:fs'
import test from 'ava'
import fc from 'fast-check'
import { kernels as jsKernels } from '../../lib/index.js'
import { EspalierError, Finish, IntegerKernel, native, SparseLayout } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'
import { sameBits } from '../support/same.js'

const random = randomSource(29)
const whole = (low: number, high: number): number => low + Math.floor(random() * (high - low + 1))

// Generated where this instruction set has an emitter, the others always.
const generates = native.isa() !== 'baseline' && process.env.ESPALIER_JIT !== '0'
// So may be others, where a core was found to gain by it.
const mayGenerateCode = generates && native.isa() === 'avx512'
// And there it is the faster, but on Zen 5 (family 26 of AMD's, of which a few count as others).
const zen5 = process.env.ESPALIER_CORE
  ? process.env.ESPALIER_CORE === 'zen5'
  : existsSync('/proc/cpuinfo') && /^cpu family\s*: 26$/m.test(readFileSync('/proc/cpuinfo', 'utf8'))
const mustGenerateCode = mayGenerateCode && !zen5

const layouts = Object.keys(SparseLayout) as (keyof typeof SparseLayout)[]
type Layout = (typeof layouts)[number]
const elements = (components: number, samples: number, layout: Layout): number => components * (layout === 'panels' ? Math.ceil(samples / 16) * 16 : samples)
/** Where component c of sample s stands. */
const place = (c: number, s: number, components: number, samples: number, layout: Layout): number =>
  layout === 'rows' ? s * components + c : layout === 'columns' ? c * samples + s : (Math.floor(s / 16) * components + c) * 16 + (s % 16)

/** Whole numbers in three guises: a range of codes, and the arrays that hold them. */
const guises = {
  uint8: { range: [0, 255], codes: Uint8Array, sums: Int32Array },
  int8: { range: [-128, 127], codes: Int8Array, sums: Int32Array },
  float32: { range: [-128, 127], codes: Float32Array, sums: Float32Array },
  'small uint8': { range: [0, 15], codes: Uint8Array, sums: Int32Array },
  'small float32': { range: [-7, 8], codes: Float32Array, sums: Float32Array },
  'float32 without sign': { range: [3, 255], codes: Float32Array, sums: Float32Array },
  // Ranges that their arrays hold in part, and not at all.
  'uint8, a range with sign': { range: [-128, 127], codes: Uint8Array, sums: Int32Array },
  'uint8, a small range with sign': { range: [-5, 100], codes: Uint8Array, sums: Int32Array },
  'uint8, a negative range': { range: [-9, -2], codes: Uint8Array, sums: Int32Array },
  'int8, a range without sign': { range: [0, 255], codes: Int8Array, sums: Int32Array },
  'int8, a range of both': { range: [100, 255], codes: Int8Array, sums: Int32Array },
  'int8, a range beyond': { range: [200, 255], codes: Int8Array, sums: Int32Array },
} as const
type Guise = keyof typeof guises

/** A kernel, and weights that it takes; `guises` where not all of them leave sums of its width. */
interface Kernel {
  kind: IntegerKernel
  bits: number
  weight: () => number
  guises?: readonly Guise[]
}
const anyWeight = (): number => whole(-128, 127)
const sign = (): number => (random() < 0.5 ? 1 : -1)
const kernels: Record<string, Kernel> = {
  rows: { kind: IntegerKernel.rows, bits: 32, weight: anyWeight },
  '1x4': { kind: IntegerKernel.blocks, bits: 32, weight: anyWeight },
  dense: { kind: IntegerKernel.dense, bits: 32, weight: anyWeight },
  vector: { kind: IntegerKernel.vector, bits: 32, weight: anyWeight },
  'vector, signs': { kind: IntegerKernel.vector, bits: 0, weight: sign },
  automatic: { kind: IntegerKernel.automatic, bits: 0, weight: anyWeight },
  'automatic, signs': { kind: IntegerKernel.automatic, bits: 0, weight: sign },
  'automatic, 32 bits': { kind: IntegerKernel.automatic, bits: 32, weight: sign },
  ...(generates ? { signs: { kind: IntegerKernel.signs, bits: 16, weight: sign, guises: ['small uint8', 'small float32'] } } : {}),
}

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
  [4, 4, 16],
  [29, 17, 15],
  [64, 100, 64],
  [3, 700, 65],
  [57, 1300, 20],
  [7, 5, 400],
  [16, 48, 128],
]

interface Integers {
  readonly number: number
  readonly rows: number
  readonly columns: number
  readonly weight: Int8Array
}

function integers(rows: number, columns: number, weight: Int8Array, kind: IntegerKernel, [low, high]: readonly [number, number], bits = 0): Integers {
  return { number: native.sparseIntegerCreate(rows, columns, weight, null, kind, low, high, bits), rows, columns, weight }
}

/** Random codes, by columns, and their exact sums with a weight, row by row: what every layout and finish is held to. */
interface Exact {
  readonly guise: Guise
  readonly samples: number
  readonly codes: ArrayLike<number>
  readonly sums: Int32Array
}

function exact(weight: Int8Array, rows: number, columns: number, guise: Guise, samples: number): Exact {
  const { range, codes: Codes } = guises[guise]
  // Bytes wrap: any of them, where the range is none of their type.
  const mixed = guise.includes(', a ')
  const codes = new Codes(columns * samples).map(() => (mixed ? whole(-128, 255) : whole(range[0], range[1])))
  const clamped = new Int32Array(codes.length).map((_, i) => Math.min(Math.max(codes[i], range[0]), range[1]))
  const sums = new Int32Array(rows * samples)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) {
      const kept = weight[r * columns + c]
      if (kept !== 0) for (let s = 0; s < samples; s++) sums[r * samples + s] += kept * clamped[c * samples + s]
    }
  return { guise, samples, codes, sums }
}

/** Multiplies the codes and says which result differs from the exact sum, if any. */
function wrong(
  { number, rows, columns }: Integers,
  { guise, samples, codes, sums }: Exact,
  layout: Layout,
  withStart: boolean,
  relu: boolean,
): string | undefined {
  const { range, codes: Codes, sums: Sums } = guises[guise]
  // Lanes past the last sample hold something too.
  const x = new Codes(elements(columns, samples, layout)).fill(range[1])
  for (let c = 0; c < columns; c++) for (let s = 0; s < samples; s++) x[place(c, s, columns, samples, layout)] = codes[c * samples + s]
  const start = withStart ? new Int32Array(rows).map(() => whole(-5000, 5000)) : null
  const y = new Sums(elements(rows, samples, layout)).fill(123456)
  native.integerSpmm(number, samples, SparseLayout[layout], x, start, relu ? Finish.relu : Finish.none, y)
  for (let r = 0; r < rows; r++)
    for (let s = 0; s < samples; s++) {
      const sum = sums[r * samples + s] + (start?.[r] ?? 0)
      const expected = relu ? Math.max(sum, 0) : sum
      const got = y[place(r, s, rows, samples, layout)]
      if (got !== (Sums === Float32Array ? Math.fround(expected) : expected)) return `[${s}, ${r}] is ${got}, expected ${expected}`
    }
  return undefined
}

for (const [name, { kind, bits, weight, guises: only }] of Object.entries(kernels))
  for (const [mask, keeps] of Object.entries(masks))
    test(`${name}, ${mask}: every product is exact`, (t) => {
      for (const [rows, columns, samples] of shapes) {
        const values = new Int8Array(rows * columns).map((_, i) => (keeps(Math.floor(i / columns), i % columns, rows, columns) ? weight() : 0))
        const count = values.filter((value) => value !== 0).length
        for (const guise of only ?? (Object.keys(guises) as Guise[])) {
          const matrix = integers(rows, columns, values, kind, guises[guise].range, bits)
          const expected = exact(values, rows, columns, guise, samples)
          t.is(native.sparseIntegerSize(matrix.number), count)
          for (const layout of layouts)
            for (const finished of [false, true])
              t.is(wrong(matrix, expected, layout, finished, finished), undefined, JSON.stringify({ rows, columns, samples, guise, layout, finished }))
          const back = new Int8Array(values.length).fill(99)
          native.sparseIntegerUnpack(matrix.number, back)
          t.true(sameBits(back, values))
          t.true(native.sparseIntegerBytes(matrix.number) >= native.sparseIntegerSize(matrix.number))
          t.true(native.sparseIntegerCost(matrix.number, samples) > 0)
          native.sparseIntegerFree(matrix.number)
        }
      }
    })

/** Blocks of 1×4, of which some are not whole. */
function blocks(rows: number, columns: number, density: number): Int8Array {
  const weight = new Int8Array(rows * columns)
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c += 4)
      if (random() < density) for (let i = c; i < Math.min(c + 4, columns); i++) weight[r * columns + i] = random() < 0.9 ? anyWeight() : 0
  return weight
}
const anywhere = (rows: number, columns: number, density: number): Int8Array => new Int8Array(rows * columns).map(() => (random() < density ? anyWeight() : 0))

// One turn of rows and several, with one block of columns and several; what is left over on every side.
const cuts = {
  '1x4': [
    [31, 64, 16, 0.1],
    [32, 66, 80, 1],
    [250, 257, 70, 0.1],
    [530, 260, 50, 0.3],
    [70, 1700, 37, 0.1],
    [190, 1601, 150, 0.5],
    [64, 3203, 20, 0.02],
  ],
  rows: [
    [6, 64, 64, 0.1],
    [7, 66, 80, 1],
    [13, 1, 129, 0.5],
    [530, 260, 50, 0.3],
    [400, 500, 60, 0.5],
    [70, 1700, 37, 0.1],
    [190, 1601, 150, 0.5],
    [64, 3203, 330, 0.02],
  ],
} as const
for (const kind of ['1x4', 'rows'] as const)
  for (const [rows, columns, samples, density] of cuts[kind])
    test(`${kind}, ${rows}×${columns} on ${samples} samples, ${density}: generated code and steps are exact`, (t) => {
      const weight = (kind === '1x4' ? blocks : anywhere)(rows, columns, density)
      const expected = (['uint8', 'int8', 'small float32'] as const).map((guise) => exact(weight, rows, columns, guise, samples))
      const before = process.env.ESPALIER_JIT
      for (const jit of before === '0' ? ['0'] : ['1', '0']) {
        process.env.ESPALIER_JIT = jit
        for (const one of expected) {
          const matrix = integers(rows, columns, weight, kernels[kind].kind, guises[one.guise].range)
          const codeSize = native.sparseIntegerCodeSize(matrix.number)
          if (jit === '0' || !mayGenerateCode) t.is(codeSize, 0)
          // (For 150,000 entries anywhere steps are expected to be the faster.)
          else if (mustGenerateCode && rows * columns * density <= 100_000) t.true(codeSize > 0)
          for (const layout of layouts) {
            const relu = (layout === 'rows') === (one.guise === 'uint8')
            t.is(wrong(matrix, one, layout, true, relu), undefined, JSON.stringify({ jit, guise: one.guise, layout, relu }))
          }
          native.sparseIntegerFree(matrix.number)
        }
      }
      if (before === undefined) delete process.env.ESPALIER_JIT
      else process.env.ESPALIER_JIT = before
    })

// Windows that are full, empty, at the end and beside it; groups that are not whole; chunks of samples of every size.
for (const [name, draw] of [
  ['any weight', anyWeight],
  ['signs', sign],
  ['−128 alone', () => -128],
] as const)
  test(`vector, ${name}: 1 to 17 samples are exact`, (t) => {
    for (const [rows, columns, density] of [
      [1, 1, 1],
      [5, 63, 0.3],
      [16, 64, 0.1],
      [17, 65, 0.9],
      [40, 127, 0.1],
      [33, 128, 0.5],
      [67, 129, 0.02],
      [50, 300, 0.1],
      [31, 1000, 0.25],
      [300, 257, 0.05],
    ] as const) {
      // Rows of every length beside each other; none, and one of all columns.
      const values = new Int8Array(rows * columns).map((_, i) => {
        const row = Math.floor(i / columns)
        return row % 7 === 3 ? 0 : row % 11 === 5 || random() < density * (0.5 + (row % 5) / 4) ? draw() : 0
      })
      for (const guise of Object.keys(guises) as Guise[]) {
        const matrix = integers(rows, columns, values, IntegerKernel.vector, guises[guise].range)
        t.is(native.sparseIntegerKernelOf(matrix.number), 'vector')
        const each = guise === 'uint8' || guise === 'int8' ? Array.from({ length: 17 }, (_, i) => i + 1) : [1, 6, 17]
        for (const samples of each) {
          const expected = exact(values, rows, columns, guise, samples)
          for (const layout of layouts)
            t.is(wrong(matrix, expected, layout, samples % 2 === 0, samples % 3 === 0), undefined, JSON.stringify({ rows, columns, samples, guise, layout }))
        }
        native.sparseIntegerFree(matrix.number)
      }
    }
  })

test('vector: entries of one place of each window, of the last ones, and of windows far apart', (t) => {
  const patterns: Record<string, (row: number, column: number) => boolean> = {
    first: (_, c) => c % 128 === 0,
    last: (_, c) => c % 128 === 127,
    'half over each other': (r, c) => c % 64 === (r % 2 === 0 ? 63 : 0),
    'far apart': (r, c) => c === 0 || c === 1023 - (r % 3),
    'rows that wait': (r, c) => (r % 16 === 0 ? c < 200 : c >= 400 + (r % 16)),
  }
  for (const [name, keeps] of Object.entries(patterns))
    for (const draw of [anyWeight, sign]) {
      const values = new Int8Array(37 * 1024).map((_, i) => (keeps(Math.floor(i / 1024), i % 1024) ? draw() : 0))
      const matrix = integers(37, 1024, values, IntegerKernel.vector, [0, 255])
      for (const samples of [1, 3]) t.is(wrong(matrix, exact(values, 37, 1024, 'uint8', samples), 'rows', false, false), undefined, name)
      native.sparseIntegerFree(matrix.number)
    }
})

test('automatic kernels take few samples one by one where that is expected to be faster, and give the same sums', (t) => {
  for (const [draw, density] of [
    [anyWeight, 0.1],
    [sign, 0.1],
    [anyWeight, 0.9],
  ] as const) {
    const values = new Int8Array(256 * 512).map(() => (random() < density ? draw() : 0))
    const matrix = integers(256, 512, values, IntegerKernel.automatic, [0, 255])
    const before = native.sparseIntegerBytes(matrix.number)
    for (const samples of [1, 2, 7, 16, 33, 64, 130])
      t.is(wrong(matrix, exact(values, 256, 512, 'uint8', samples), 'rows', true, false), undefined, `${samples} samples`)
    // Made when they came.
    if (native.isa() !== 'baseline') t.true(native.sparseIntegerBytes(matrix.number) > before)
    t.true(native.sparseIntegerCost(matrix.number, 1) < native.sparseIntegerCost(matrix.number, 64))
    native.sparseIntegerFree(matrix.number)
  }
})

test('signs: several groups of rows and blocks of columns, the whole range of codes, from one task and from several', (t) => {
  if (!generates) return t.pass()
  for (const [rows, columns, samples] of [
    [61, 513, 100],
    [150, 700, 31],
    [33, 1025, 65],
    [30, 512, 48],
    [257, 90, 16],
  ] as const)
    for (const guise of Object.keys(guises) as Guise[]) {
      // One entry in ten: no row has more than 128.
      const values = new Int8Array(rows * columns).map((_, i) => ((i * 7919) % 103 < 10 && i % columns < 1000 ? sign() : 0))
      const matrix = integers(rows, columns, values, IntegerKernel.signs, guises[guise].range, 16)
      const expected = exact(values, rows, columns, guise, samples)
      for (const layout of layouts)
        for (const [start, relu] of [
          [false, false],
          [true, false],
          [false, true],
          [true, true],
        ] as const)
          t.is(wrong(matrix, expected, layout, start, relu), undefined, JSON.stringify({ rows, columns, samples, guise, layout, start, relu }))
      native.sparseIntegerFree(matrix.number)
    }
})

test('any matrix: all kernels agree, bit for bit', (t) => {
  const drawn = fc.record({
    rows: fc.integer({ min: 1, max: 70 }),
    columns: fc.integer({ min: 1, max: 90 }),
    samples: fc.integer({ min: 1, max: 140 }),
    density: fc.constantFrom(0, 0.02, 0.1, 0.5, 1),
    signs: fc.boolean(),
    low: fc.constantFrom(0, -128, -3),
    layout: fc.constantFrom(...layouts),
    relu: fc.boolean(),
  })
  fc.assert(
    fc.property(drawn, ({ rows, columns, samples, density, signs, low, layout, relu }) => {
      const weight = new Int8Array(rows * columns).map(() => (random() < density ? (signs ? sign() : anyWeight()) : 0))
      const high = low === 0 ? 255 : low === -3 ? 3 : 127
      const Codes = low === 0 ? Uint8Array : Int8Array
      const x = new Codes(elements(columns, samples, layout)).map(() => whole(low, high))
      const multiplied = (kind: IntegerKernel): Int32Array => {
        const { number } = integers(rows, columns, weight, kind, [low, high])
        const y = new Int32Array(elements(rows, samples, layout))
        native.integerSpmm(number, samples, SparseLayout[layout], x, null, relu ? Finish.relu : Finish.none, y)
        native.sparseIntegerFree(number)
        // Lanes past the last sample are nobody's.
        return layout === 'panels' ? y.filter((_, i) => Math.floor(i / (rows * 16)) * 16 + (i % 16) < samples) : y
      }
      const expected = multiplied(IntegerKernel.rows)
      const others: IntegerKernel[] = [IntegerKernel.automatic, IntegerKernel.blocks, IntegerKernel.dense, IntegerKernel.vector]
      const fits = rows > 0 && columns * Math.max(high, -low) < 2 ** 15
      if (signs && fits && generates) others.push(IntegerKernel.signs)
      for (const kind of others) {
        const y = multiplied(kind)
        for (let i = 0; i < y.length; i++) if (y[i] !== expected[i]) throw new Error(`kernel ${kind}: ${i} is ${y[i]}, expected ${expected[i]}`)
      }
    }),
    { numRuns: 150 },
  )
  t.pass()
})

test('codes outside of the range count as its nearest end, whatever they are', (t) => {
  const weight = new Int8Array(40).map((_, i) => (i % 2 === 0 ? 1 : -1))
  for (const kind of [IntegerKernel.rows, IntegerKernel.blocks, IntegerKernel.dense, IntegerKernel.vector, IntegerKernel.automatic]) {
    const { number } = integers(1, 40, weight, kind, [-2, 3])
    for (const layout of layouts) {
      const of = (value: number): number => {
        const x = new Float32Array(elements(40, 70, layout))
        for (let s = 0; s < 70; s++) for (let c = 0; c < 40; c += 2) x[place(c, s, 40, 70, layout)] = value
        const y = new Float32Array(elements(1, 70, layout))
        native.integerSpmm(number, 70, SparseLayout[layout], x, null, Finish.none, y)
        t.is(y[place(0, 69, 1, 70, layout)], y[0])
        return y[0] / 20
      }
      t.deepEqual([NaN, Infinity, -Infinity, 1e30, -1e30, 4, -3, 2.9, -1.9].map(of), [-2, 3, -2, 3, -2, 3, -2, 2, -1])
      const bytes = new Int8Array(elements(40, 70, layout)).fill(100)
      const y = new Int32Array(elements(1, 70, layout))
      native.integerSpmm(number, 70, SparseLayout[layout], bytes, Int32Array.of(7), Finish.none, y)
      t.is(y[place(0, 69, 1, 70, layout)], 7)
    }
    native.sparseIntegerFree(number)
  }
})

test('pairs at the bounds of 16 bits: the greatest weights and codes of one sign, of both, and at every place', (t) => {
  const extremes = [-128, -127, 127, 1, -1, 64, -64, 65]
  const patterns: Record<string, (i: number) => number> = {
    'all −128': () => -128,
    'all 127': () => 127,
    'pairs of −128 beside others': (i) => (i % 8 < 2 ? -128 : 127),
    'signs by turns': (i) => (i % 2 === 0 ? 127 : -128),
    'one sign a row of four': (i) => (i % 8 < 4 ? 127 : -127),
    'just fitting': (i) => (i % 2 === 0 ? 64 : i % 4 === 1 ? 64 : -64),
    'just not fitting': (i) => (i % 2 === 0 ? 65 : 64),
    drawn: () => extremes[whole(0, extremes.length - 1)],
  }
  const codes: readonly (readonly [number, number])[] = [
    [0, 255],
    [0, 254],
    [0, 128],
    [0, 127],
    [0, 1],
    [255, 255],
    [-128, 127],
    [-128, -128],
    [-1, 0],
    [-3, 120],
  ]
  for (const [rows, columns, samples] of [
    [5, 37, 70],
    [66, 400, 33],
    [3, 8, 1],
  ])
    for (const [name, of] of Object.entries(patterns))
      for (const kept of [1, 0.4]) {
        const weight = new Int8Array(rows * columns).map((_, i) => (random() < kept ? of(i % columns) : 0))
        for (const [low, high] of codes)
          for (const kind of [IntegerKernel.rows, IntegerKernel.blocks, IntegerKernel.dense, IntegerKernel.vector]) {
            const { number } = integers(rows, columns, weight, kind, [low, high])
            const Codes = low < 0 ? Int8Array : Uint8Array
            // Both ends alone, then either at random.
            for (const [draw, code] of Object.entries({ high: () => high, low: () => low, either: () => (random() < 0.5 ? low : high) })) {
              const x = new Codes(samples * columns).map(code)
              const y = new Int32Array(samples * rows)
              native.integerSpmm(number, samples, SparseLayout.rows, x, null, Finish.none, y)
              for (const s of [0, samples >> 1, samples - 1])
                for (let r = 0; r < rows; r++) {
                  let sum = 0
                  for (let c = 0; c < columns; c++) sum += weight[r * columns + c] * x[s * columns + c]
                  if (y[s * rows + r] !== sum)
                    t.fail(`${JSON.stringify({ name, kept, low, high, kind, draw, rows, s, r })}: ${y[s * rows + r]}, expected ${sum}`)
                }
            }
            native.sparseIntegerFree(number)
          }
      }
  t.pass()
})

test('small weights: sums of any number of steps in words', (t) => {
  for (const most of [1, 2, 3, 7, 15, 31])
    for (const [low, high] of [
      [0, 255],
      [0, 15],
      [0, 3],
      [-8, 7],
    ])
      for (const kept of [0.1, 0.5, 1]) {
        const [rows, columns] = [37, 300]
        const weight = new Int8Array(rows * columns).map(() => (random() < kept ? whole(-most, most) : 0))
        for (const kind of [IntegerKernel.rows, IntegerKernel.blocks, IntegerKernel.dense])
          for (const samples of [20, 64, 100]) {
            const { number } = integers(rows, columns, weight, kind, [low, high])
            const x = new (low < 0 ? Int8Array : Uint8Array)(samples * columns).map(() => (random() < 0.5 ? high : whole(low, high)))
            const y = new Int32Array(samples * rows)
            native.integerSpmm(number, samples, SparseLayout.rows, x, null, Finish.none, y)
            for (let s = 0; s < samples; s += 9)
              for (let r = 0; r < rows; r++) {
                let sum = 0
                for (let c = 0; c < columns; c++) sum += weight[r * columns + c] * x[s * columns + c]
                if (y[s * rows + r] !== sum) t.fail(`${JSON.stringify({ most, low, high, kept, kind, samples, s, r })}: ${y[s * rows + r]}, expected ${sum}`)
              }
            native.sparseIntegerFree(number)
          }
      }
  t.pass()
})

test('sums of 16 bits are allowed up to the last one that fits, and not beyond', (t) => {
  // 128 codes of 255 are 32640, and 127 more reach the greatest sum of all; −32768 is 128 · 256.
  const cases: readonly (readonly [positive: number, negative: number, range: readonly [number, number], bits: number])[] = [
    [128, 0, [0, 255], 16],
    [129, 0, [0, 255], 17],
    [0, 128, [0, 255], 16],
    [0, 129, [0, 255], 17],
    [128, 128, [0, 255], 16],
    [128, 129, [0, 255], 17],
    [256, 0, [-128, 127], 16], // −32768
    [257, 0, [-128, 127], 17],
    [0, 255, [-128, 127], 16], // 32640
    [0, 256, [-128, 127], 17], // 32768
    [31, 0, [0, 1], 6],
    [32, 0, [0, 1], 7],
    [0, 32, [0, 1], 6],
    [300, 0, [5, 5], 12],
  ]
  for (const [positive, negative, range, bits] of cases) {
    const columns = positive + negative + 3
    const weight = new Int8Array(2 * columns)
    weight.fill(1, columns, columns + positive).fill(-1, columns + positive, columns + positive + negative)
    const at = JSON.stringify({ positive, negative, range })
    const matrix = integers(2, columns, weight, IntegerKernel.rows, range)
    t.is(native.sparseIntegerNeededBits(matrix.number), bits, at)
    native.sparseIntegerFree(matrix.number)
    if (bits > 16) {
      const error = t.throws(() => native.sparseIntegerCreate(2, columns, weight, null, IntegerKernel.automatic, ...range, 16), { instanceOf: EspalierError })
      t.is(error?.code, 'INVALID_ARGUMENT')
      t.regex(error?.message ?? '', new RegExp(`16 bits do not hold.*takes ${bits}`), at)
      continue
    }
    // The extremes themselves, exactly.
    const wanted = generates ? [IntegerKernel.signs, IntegerKernel.automatic] : [IntegerKernel.automatic]
    for (const kind of wanted) {
      const { number } = integers(2, columns, weight, kind, range, 16)
      for (const [ofPositive, ofNegative] of [
        [range[1], range[0]],
        [range[0], range[1]],
        [range[1], range[1]],
      ]) {
        const x = new Float32Array(columns * 33).map((_, i) => (i % columns < positive ? ofPositive : ofNegative))
        const y = new Float32Array(2 * 33)
        native.integerSpmm(number, 33, SparseLayout.rows, x, null, Finish.none, y)
        for (let s = 0; s < 33; s++) t.deepEqual([...y.subarray(2 * s, 2 * s + 2)], [0, positive * ofPositive - negative * ofNegative], at)
      }
      native.sparseIntegerFree(number)
    }
  }
})

test('sums of 32 bits: the greatest, start values that wrap, and weights that reach beyond', (t) => {
  const columns = 65793 // · 255 · 128 = 2³¹ − 128 · 128 or so
  const weight = new Int8Array(columns).fill(-128)
  t.is(
    t.throws(() => native.sparseIntegerCreate(1, columns + 1000, new Int8Array(columns + 1000).fill(-128), null, IntegerKernel.rows, 0, 255, 0), {
      instanceOf: EspalierError,
    })?.code,
    'INVALID_ARGUMENT',
  )
  const { number } = integers(1, columns, weight, IntegerKernel.rows, [0, 255])
  t.is(native.sparseIntegerNeededBits(number), 32)
  const y = new Int32Array(1)
  native.integerSpmm(number, 1, SparseLayout.rows, new Uint8Array(columns).fill(255), null, Finish.none, y)
  t.is(y[0], -128 * 255 * columns)
  native.integerSpmm(number, 1, SparseLayout.rows, new Uint8Array(columns).fill(255), Int32Array.of(-(2 ** 31)), Finish.none, y)
  t.is(y[0], (-128 * 255 * columns - 2 ** 31) | 0)
  native.sparseIntegerFree(number)
})

test('the same results from 1, 2, 3 and 8 threads', (t) => {
  const before = native.threads()
  for (const { kind, weight } of [kernels.rows, kernels['1x4'], kernels['automatic, signs'], kernels.vector]) {
    const values = new Int8Array(300 * 700).map(() => (random() < 0.1 ? weight() : 0))
    const { number } = integers(300, 700, values, kind, [0, 255])
    const runs = [1, 2, 3, 8].map((threads) => {
      native.setThreads(threads)
      return (['rows', 'columns', 'panels'] as const).flatMap((layout) =>
        [1, 64, 300].map((samples) => {
          const y = new Int32Array(elements(300, samples, layout))
          native.integerSpmm(
            number,
            samples,
            SparseLayout[layout],
            new Uint8Array(elements(700, samples, layout)).map((_, i) => i * 7),
            null,
            Finish.none,
            y,
          )
          return y
        }),
      )
    })
    for (const run of runs.slice(1)) t.true(run.every((y, i) => sameBits(y, runs[0][i])))
    native.sparseIntegerFree(number)
  }
  native.setThreads(before)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown, message = /./) => {
    const error = t.throws(call, { instanceOf: EspalierError })
    t.is(error?.code as string, code)
    t.regex(error?.message ?? '', message)
  }
  const weight = Int8Array.of(1, 2, 0, 0, -3, 0)
  const create =
    (kind: IntegerKernel, low: number, high: number, bits: number, rows = 2) =>
    () =>
      native.sparseIntegerCreate(rows, 3, weight, null, kind, low, high, bits)
  refused('INVALID_ARGUMENT', create(IntegerKernel.rows, 3, 2, 0), /high is 2, expected 3 to 255/)
  refused('INVALID_ARGUMENT', create(IntegerKernel.rows, -1, 128, 0), /high is 128, expected -1 to 127/)
  refused('INVALID_ARGUMENT', create(IntegerKernel.rows, 0, 256, 0), /high is 256/)
  refused('INVALID_ARGUMENT', create(IntegerKernel.rows, 0, 255, 8), /bits is 8, expected 0, 16 or 32/)
  refused('INVALID_ARGUMENT', create(IntegerKernel.signs, 0, 255, 0), /signs: /)
  refused('SHAPE_MISMATCH', create(IntegerKernel.rows, 0, 255, 0, 3))
  refused('DTYPE_MISMATCH', () => native.sparseIntegerCreate(2, 3, new Uint8Array(6), null, IntegerKernel.rows, 0, 255, 0))
  refused('DTYPE_MISMATCH', () => native.sparseIntegerCreate(2, 3, weight, new Float32Array(6), IntegerKernel.rows, 0, 255, 0))
  refused('SHAPE_MISMATCH', () => native.sparseIntegerCreate(2, 3, weight, new Uint8Array(5), IntegerKernel.rows, 0, 255, 0))
  refused('INVALID_ARGUMENT', () => native.sparseIntegerCreate(2 ** 16, 2 ** 16, weight, null, IntegerKernel.rows, 0, 255, 0))
  const { number } = integers(2, 3, weight, IntegerKernel.automatic, [0, 255])
  const spmm =
    (x: Uint8Array | Float32Array | Float64Array, start: Int32Array | null, y: Int32Array | Float32Array, samples = 1) =>
    () =>
      native.integerSpmm(number, samples, SparseLayout.rows, x, start, Finish.none, y)
  refused('SHAPE_MISMATCH', spmm(new Uint8Array(2), null, new Int32Array(2)))
  refused('SHAPE_MISMATCH', spmm(new Uint8Array(3), null, new Int32Array(3)))
  refused('SHAPE_MISMATCH', spmm(new Uint8Array(3), new Int32Array(3), new Int32Array(2)))
  refused('DTYPE_MISMATCH', spmm(new Uint8Array(3), null, new Float32Array(2)))
  refused('DTYPE_MISMATCH', spmm(new Float32Array(3), null, new Int32Array(2)))
  refused('DTYPE_MISMATCH', spmm(new Float64Array(3), null, new Int32Array(2)))
  refused('INVALID_ARGUMENT', spmm(new Uint8Array(3), null, new Int32Array(2), -1))
  refused('INVALID_ARGUMENT', () => native.sparseIntegerCost(number, -1))
  refused('SHAPE_MISMATCH', () => native.sparseIntegerUnpack(number, new Int8Array(5)))
  native.sparseIntegerFree(number)
  refused('INVALID_ARGUMENT', () => native.sparseIntegerFree(number))
})

test('from JavaScript: what is checked there, and what is told', (t) => {
  const weight = Int8Array.of(0, 2, 0, -1, 0, 0)
  using matrix = new jsKernels.IntegerSparseMatrix(weight, 2, 3, { mask: Uint8Array.of(1, 1, 1, 0, 1, 1), range: [0, 9], kernel: '1x4' })
  t.deepEqual([matrix.count, matrix.kernel, matrix.sumBits, matrix.neededBits], [1, '1x4', 32, 6])
  if (!mayGenerateCode) t.is(matrix.codeSize, 0)
  t.deepEqual(matrix.unpack(), Int8Array.of(0, 2, 0, 0, 0, 0))
  t.deepEqual(matrix.multiply(Int8Array.of(1, 2, 3, 4, 5, 6)), Int32Array.of(4, 0, 10, 0))
  t.deepEqual(matrix.multiply(Float32Array.of(1, 2, 3, 4, 5, 6), { layout: 'columns' }), Float32Array.of(6, 8, 0, 0))
  t.is(matrix.multiply(new Uint8Array(3 * 32), { layout: 'panels', samples: 17 }).length, 2 * 32)
  const out = new Int32Array(2)
  t.is(matrix.multiply(Uint8Array.of(1, 2, 3), { out, start: Int32Array.of(-9, 3), relu: true }), out)
  t.deepEqual(out, Int32Array.of(0, 3))
  const wrongly = (code: string, call: () => unknown) => t.is(t.throws(call, { instanceOf: EspalierError })?.code as string, code)
  const anything = <T>(value: unknown): T => value as T
  wrongly('DTYPE_MISMATCH', () => new jsKernels.IntegerSparseMatrix(anything(new Uint8Array(6)), 2, 3))
  wrongly('SHAPE_MISMATCH', () => new jsKernels.IntegerSparseMatrix(weight, 2, 2))
  wrongly('INVALID_ARGUMENT', () => new jsKernels.IntegerSparseMatrix(weight, 2, 3, { kernel: anything('toString') }))
  wrongly('INVALID_ARGUMENT', () => new jsKernels.IntegerSparseMatrix(weight, 2, 3, { range: anything([0.5, 3]) }))
  wrongly('INVALID_ARGUMENT', () => new jsKernels.IntegerSparseMatrix(weight, 2, 3, { bits: anything(8) }))
  wrongly('DTYPE_MISMATCH', () => matrix.multiply(anything(new Float64Array(3))))
  wrongly('DTYPE_MISMATCH', () => matrix.multiply(Uint8Array.of(1, 2, 3), { out: anything(new Float32Array(2)) }))
  wrongly('SHAPE_MISMATCH', () => matrix.multiply(Uint8Array.of(1, 2, 3), { start: new Int32Array(3) }))
  wrongly('SHAPE_MISMATCH', () => matrix.multiply(Uint8Array.of(1, 2)))
  const gone = new jsKernels.IntegerSparseMatrix(weight, 2, 3)
  gone.dispose()
  gone.dispose()
  wrongly('STATE', () => gone.multiply(Uint8Array.of(1, 2, 3)))
})
