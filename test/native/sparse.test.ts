import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { EspalierError, Finish, native, SparseFormat, SparseLayout } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'
import { sameBits } from '../support/same.js'

const random = randomSource(23)
function noise(length: number): Float32Array {
  const made = new Float32Array(length)
  for (let i = 0; i < length; i++) made[i] = random() * 2 - 1
  return made
}

type Keeps = (row: number, column: number, rows: number, columns: number) => boolean
interface Format {
  kind: SparseFormat
  parameters?: readonly number[]
}

// Generated where this instruction set has an emitter, the others always.
const generates = native.isa() !== 'baseline' && process.env.ESPALIER_JIT !== '0'
/** What any mask fits. */
const unstructured: Record<string, Format> = {
  ...(generates ? { generated: { kind: SparseFormat.generated } } : {}),
  rows: { kind: SparseFormat.rows },
  vector: { kind: SparseFormat.vector },
  automatic: { kind: SparseFormat.automatic },
}

/** Masks that kernels could stumble over. */
const masks: Record<string, Keeps> = {
  'one in ten': () => random() < 0.1,
  'one in thirty': () => random() < 1 / 30,
  'one in five': () => random() < 0.2,
  half: () => random() < 0.5,
  'every entry': () => true,
  'no entry': () => false,
  'one entry': (row, column, rows, columns) => row === rows >> 1 && column === columns - 1,
  'empty rows': (row) => row % 3 === 1 && random() < 0.5,
  'empty columns': (_, column) => column % 4 === 2,
  'one full row': (row) => row === 0,
}
/** Each block of `height` by `width` kept or not, as drawn once. */
function inBlocks(height: number, width: number, density: number): Keeps {
  const drawn = new Map<number, boolean>()
  return (row, column) => {
    const block = Math.floor(row / height) * 2 ** 20 + Math.floor(column / width)
    let kept = drawn.get(block)
    if (kept === undefined) {
      kept = random() < density
      drawn.set(block, kept)
    }
    return kept
  }
}
/** N of each M, by a rotation that differs from row to row and group to group. */
const nOfM =
  (n: number, m: number): Keeps =>
  (row, column) =>
    (column + row * 3 + Math.floor(column / m) * 5) % m < n

interface Structured extends Format {
  keeps: () => Keeps
  /** Masks of its structure that kernels could stumble over. */
  edges: Record<string, Keeps>
}

const none: Keeps = () => false
const all: Keeps = () => true
/** Masks of whole blocks. */
function blockEdges(height: number, width: number): Record<string, Keeps> {
  const half = inBlocks(height, width, 0.5)
  return {
    'no entry': none,
    'one block': (row, column, rows, columns) =>
      row - (row % height) === (rows >> 1) - ((rows >> 1) % height) && column >= columns - 1 - ((columns - 1) % width),
    'empty rows': (row, column, rows, columns) => Math.floor(row / height) % 3 === 1 && half(row, column, rows, columns),
    'empty columns': (_, column) => Math.floor(column / width) % 3 === 1,
    'every entry': all,
  }
}
/** Masks of at most N of each M; of exactly as many, but for the first. */
function groupEdges(n: number, m: number): Record<string, Keeps> {
  const some = nOfM(n, m)
  return {
    'no entry': none,
    'one entry': masks['one entry'],
    'empty rows': (row, column, rows, columns) => row % 3 === 1 && some(row, column, rows, columns),
    'empty columns': (_, column) => column % m < n,
    'full groups beside empty ones': (row, column, rows, columns) => (row + Math.floor(column / m)) % 3 === 0 && some(row, column, rows, columns),
  }
}
/** A structure of N:M, or of blocks. */
const ofGroups = (n: number, m: number, keeps: () => Keeps = () => nOfM(n, m)): Structured => ({
  kind: SparseFormat.nOfM,
  parameters: [n, m],
  keeps,
  edges: groupEdges(n, m),
})
const ofBlocks = (height: number, width: number): Structured => ({
  kind: SparseFormat.blocks,
  parameters: [height, width],
  keeps: () => inBlocks(height, width, 0.3),
  edges: blockEdges(height, width),
})

/** Formats that need a structure, with masks that have it. */
const structured: Record<string, Structured> = {
  'fan-in': {
    kind: SparseFormat.fanIn,
    keeps: () => (row, column, _, columns) => (column + row * 3) % columns < columns / 3,
    // (A row is empty only where all are.)
    edges: {
      'no entry': none,
      'one entry a row': (row, column, _, columns) => column === (row * 7) % columns,
      'empty columns': (_, column) => column % 4 === 2,
      'all but one': (row, column, _, columns) => column !== (row * 5) % columns,
      'every entry': all,
    },
  },
  '2:4': ofGroups(2, 4),
  '1:4': ofGroups(1, 4),
  '4:8, not all of them': ofGroups(4, 8, () => (row, column, rows, columns) => nOfM(4, 8)(row, column, rows, columns) && random() < 0.8),
  '4x1': ofBlocks(4, 1),
  '8x1': ofBlocks(8, 1),
  '1x4': ofBlocks(1, 4),
  '4x4': ofBlocks(4, 4),
  '3x2': ofBlocks(3, 2),
  '2x16': ofBlocks(2, 16),
  channels: {
    kind: SparseFormat.channels,
    keeps: () => (row, column) => row % 3 !== 1 && column % 5 !== 2,
    edges: {
      'no entry': none,
      'one entry': masks['one entry'],
      'empty rows': (row) => row % 3 === 1,
      'empty columns': (_, column) => column % 4 === 2,
      'one full row': masks['one full row'],
      'every entry': all,
    },
  },
  dense: { kind: SparseFormat.dense, keeps: () => all, edges: {} },
}

const shapes: readonly (readonly [rows: number, columns: number, samples: number])[] = [
  [1, 1, 1],
  [28, 16, 16],
  [29, 17, 15],
  [6, 40, 31],
  [64, 100, 33],
  [3, 700, 5],
  [57, 1000, 20],
  [95, 530, 140],
  [7, 5, 400],
  [19, 130, 200],
  // Several groups of rows, and several blocks of columns.
  [140, 400, 37],
  [20, 380, 70],
  [530, 20, 49],
]

const few: typeof shapes = [
  [8, 24, 1],
  [16, 64, 2],
  [33, 62, 3],
]
/** For masks of which most is the same everywhere. */
const edgeShapes: typeof shapes = [[1, 1, 1], [3, 700, 5], [29, 17, 15], [64, 100, 33], [140, 400, 37], [7, 5, 200], ...few]

interface Sparse {
  readonly number: number
  readonly rows: number
  readonly columns: number
  /** Row-major, 0 where nothing is kept. */
  readonly dense: Float64Array
  readonly kept: readonly number[]
}

function sparse(rows: number, columns: number, keeps: Keeps, { kind, parameters = [] }: Format): Sparse {
  const weight = noise(rows * columns)
  const mask = new Uint8Array(weight.length)
  const dense = new Float64Array(weight.length)
  const kept: number[] = []
  for (let row = 0, i = 0; row < rows; row++)
    for (let column = 0; column < columns; column++, i++)
      if (keeps(row, column, rows, columns)) {
        mask[i] = 1
        dense[i] = weight[i]
        kept.push(i)
      }
  return { number: native.sparseCreate(rows, columns, weight, mask, kind, parameters), rows, columns, dense, kept }
}

const layouts = Object.keys(SparseLayout) as (keyof typeof SparseLayout)[]
type Layout = (typeof layouts)[number]
const elements = (components: number, samples: number, layout: Layout): number => components * (layout === 'panels' ? Math.ceil(samples / 16) * 16 : samples)
/** Where component c of sample s stands. */
const place = (c: number, s: number, components: number, samples: number, layout: Layout): number =>
  layout === 'rows' ? s * components + c : layout === 'columns' ? c * samples + s : (Math.floor(s / 16) * components + c) * 16 + (s % 16)

interface Call {
  transpose: boolean
  layout: Layout
  bias: boolean
  relu: boolean
}

/** An operand, a component after the other, and a product in float64: its sums and those of its terms' sizes. */
interface Exact {
  readonly samples: number
  readonly x: Float32Array
  readonly sums: Float64Array
  readonly sizes: Float64Array
}

/** W·X or Wᵀ·X of a random X. */
function exactProduct({ rows, columns, dense, kept }: Sparse, samples: number, transpose: boolean): Exact {
  const [inputs, outputs] = transpose ? [rows, columns] : [columns, rows]
  const x = noise(inputs * samples)
  const [sums, sizes] = [new Float64Array(outputs * samples), new Float64Array(outputs * samples)]
  for (const at of kept) {
    const [row, column] = [Math.floor(at / columns), at % columns]
    const [o, i] = transpose ? [column, row] : [row, column]
    for (let s = 0; s < samples; s++) {
      const term = dense[at] * x[i * samples + s]
      sums[o * samples + s] += term
      sizes[o * samples + s] += Math.abs(term)
    }
  }
  return { samples, x, sums, sizes }
}

/** What stands a component after the other in a layout, beside noise in the lanes past the last sample. */
function laidOut(values: Float32Array, components: number, samples: number, layout: Layout): Float32Array {
  const made = layout === 'panels' ? noise(elements(components, samples, layout)) : new Float32Array(values.length)
  for (let c = 0; c < components; c++) for (let s = 0; s < samples; s++) made[place(c, s, components, samples, layout)] = values[c * samples + s]
  return made
}

/** The largest error of a product, in units of what float32 sums of so many terms may err. */
function worstOfProduct({ number, rows, columns }: Sparse, { samples, x, sums, sizes }: Exact, { transpose, layout, bias, relu }: Call): number {
  const [inputs, outputs] = transpose ? [rows, columns] : [columns, rows]
  const plus = bias ? noise(outputs) : null
  const y = new Float32Array(elements(outputs, samples, layout)).fill(NaN)
  const from = laidOut(x, inputs, samples, layout)
  native.spmm(number, Number(transpose), samples, SparseLayout[layout], from, plus, relu ? Finish.relu : Finish.none, y)
  let worst = 0
  for (let o = 0; o < outputs; o++)
    for (let s = 0; s < samples; s++) {
      const begin = plus?.[o] ?? 0
      const sum = begin + sums[o * samples + s]
      const size = Math.abs(begin) + sizes[o * samples + s]
      const error = Math.abs(y[place(o, s, outputs, samples, layout)] - (relu ? Math.max(sum, 0) : sum))
      worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / (size * (inputs + 2) * 2 ** -24 + 1e-40))
    }
  return worst
}

/** Two operands, a component after the other, and the entries of dY·Xᵀ that are kept, in float64. */
interface ExactSampled extends Exact {
  readonly dy: Float32Array
}

function exactSampled({ rows, columns, kept }: Sparse, samples: number): ExactSampled {
  const [dy, x] = [noise(rows * samples), noise(columns * samples)]
  const [sums, sizes] = [new Float64Array(kept.length), new Float64Array(kept.length)]
  for (const [i, at] of kept.entries()) {
    const [row, column] = [Math.floor(at / columns), at % columns]
    for (let s = 0; s < samples; s++) {
      const term = dy[row * samples + s] * x[column * samples + s]
      sums[i] += term
      sizes[i] += Math.abs(term)
    }
  }
  return { samples, dy, x, sums, sizes }
}

function worstOfSampled({ number, rows, columns, kept }: Sparse, { samples, dy, x, sums, sizes }: ExactSampled, layout: Layout): number {
  const values = new Float32Array(kept.length).fill(NaN)
  native.sddmm(number, samples, SparseLayout[layout], laidOut(dy, rows, samples, layout), laidOut(x, columns, samples, layout), values)
  let worst = 0
  for (let i = 0; i < kept.length; i++) {
    const error = Math.abs(values[i] - sums[i])
    worst = Math.max(worst, Number.isNaN(error) ? Infinity : error / (sizes[i] * (samples + 2) * 2 ** -24 + 1e-40))
  }
  return worst
}

/** All products of one matrix. */
function* calls(): Iterable<Call> {
  for (const transpose of [false, true])
    for (const layout of layouts)
      for (const [bias, relu] of [
        [false, false],
        [true, true],
      ])
        yield { transpose, layout, bias, relu }
}

function check(t: ExecutionContext, matrix: Sparse, samples: number): void {
  const { rows, columns } = matrix
  const products = [false, true].map((transpose) => exactProduct(matrix, samples, transpose))
  for (const call of calls()) t.true(worstOfProduct(matrix, products[Number(call.transpose)], call) <= 1, JSON.stringify({ rows, columns, samples, ...call }))
  const sampled = exactSampled(matrix, samples)
  for (const layout of layouts) t.true(worstOfSampled(matrix, sampled, layout) <= 1, JSON.stringify({ rows, columns, samples, layout }))
}

for (const [format, of] of Object.entries(unstructured))
  for (const [name, keeps] of Object.entries(masks))
    test(`${format}, ${name}: products and sampled products are those of float64`, (t) => {
      for (const [rows, columns, samples] of shapes) {
        const matrix = sparse(rows, columns, keeps, of)
        t.is(native.sparseSize(matrix.number), matrix.kept.length)
        const positions = new Int32Array(matrix.kept.length)
        native.sparsePositions(matrix.number, positions)
        t.true(sameBits(positions, Int32Array.from(matrix.kept)))
        check(t, matrix, samples)
        native.sparseFree(matrix.number)
      }
    })

for (const [format, of] of Object.entries(structured))
  for (const [mask, makes] of Object.entries<() => Keeps>({
    '': of.keeps,
    ...Object.fromEntries(Object.entries(of.edges).map(([name, edge]) => [`, ${name}`, () => edge])),
  }))
    test(`${format}${mask}: products are those of float64, what is packed comes back`, (t) => {
      for (const [rows, columns, samples] of mask === '' ? [...shapes, ...few] : edgeShapes) {
        const matrix = sparse(rows, columns, makes(), of)
        check(t, matrix, samples)
        const weight = new Float32Array(rows * columns).fill(NaN)
        native.sparseUnpack(matrix.number, weight)
        t.true(sameBits(weight, Float32Array.from(matrix.dense)))
        t.is(native.sparseFormatOf(matrix.number, samples), format.split(',')[0])
        t.true(native.sparseBytes(matrix.number) >= matrix.kept.length * 4)
        t.true(native.sparseCost(matrix.number, samples) > 0)
        native.sparseFree(matrix.number)
      }
    })

/** A random mask of a structure, and the format that is for it. */
function drawnIn(of: 'blocks' | 'fan-in' | 'N:M' | 'channels', a: number, b: number, density: number, columns: number): [Keeps, Format] {
  if (of === 'blocks') return [inBlocks(a, b, density), { kind: SparseFormat.blocks, parameters: [a, b] }]
  if (of === 'channels') {
    const [rows, lines] = [inBlocks(1, columns, Math.sqrt(density)), inBlocks(1 << 20, 1, Math.sqrt(density))]
    return [(row, column) => rows(row, 0, 0, 0) && lines(0, column, 0, 0), { kind: SparseFormat.channels }]
  }
  // The first so many of each row's columns, or of each of its groups, in an order drawn for it.
  const orders = new Map<string, number[]>()
  const rank = (row: number, column: number, size: number): number => {
    const group = `${row},${Math.floor(column / size)}`
    if (!orders.has(group)) {
      const lots = Array.from({ length: size }, () => random())
      orders.set(
        group,
        Array.from(lots.keys()).sort((i, j) => lots[i] - lots[j]),
      )
    }
    return (orders.get(group) as number[])[column % size]
  }
  if (of === 'fan-in') return [(row, column) => rank(row, column, columns) < Math.round(density * columns), { kind: SparseFormat.fanIn }]
  const kept = (row: number, column: number): number => Math.min(a, Math.round(density * 2 * b * ((row + Math.floor(column / b)) % 2 === 0 ? 1 : 0.4)))
  return [(row, column) => rank(row, column, b) < kept(row, column), { kind: SparseFormat.nOfM, parameters: [a, b] }]
}

test('any mask: every format that holds it computes what the portable rows do', (t) => {
  const drawn = fc.record({
    rows: fc.integer({ min: 1, max: 70 }),
    columns: fc.integer({ min: 1, max: 90 }),
    samples: fc.integer({ min: 1, max: 40 }),
    density: fc.constantFrom(0, 0.02, 0.1, 0.5, 1),
    structure: fc.oneof(
      fc.record({ of: fc.constant('blocks' as const), a: fc.constantFrom(1, 1, 2, 4, 8), b: fc.constantFrom(1, 1, 2, 4) }),
      fc.record({ of: fc.constant('fan-in' as const), a: fc.constant(0), b: fc.constant(0) }),
      fc.integer({ min: 2, max: 16 }).chain((m) => fc.record({ of: fc.constant('N:M' as const), a: fc.integer({ min: 1, max: m - 1 }), b: fc.constant(m) })),
      fc.record({ of: fc.constant('channels' as const), a: fc.constant(0), b: fc.constant(0) }),
    ),
    transpose: fc.boolean(),
    layout: fc.constantFrom(...layouts),
    bias: fc.boolean(),
    relu: fc.boolean(),
  })
  fc.assert(
    fc.property(drawn, ({ rows, columns, density, structure: { of, a, b }, ...call }) => {
      const weight = noise(rows * columns)
      const [keeps, itsOwn] = drawnIn(of, a, b, density, columns)
      const mask = Uint8Array.from(weight, (_, i) => Number(keeps(Math.floor(i / columns), i % columns, rows, columns)))
      const [inputs, outputs] = call.transpose ? [rows, columns] : [columns, rows]
      const x = noise(elements(inputs, call.samples, call.layout))
      const bias = call.bias ? noise(outputs) : null
      const multiplied = ({ kind, parameters = [] }: Format): Float32Array => {
        const number = native.sparseCreate(rows, columns, weight, mask, kind, parameters)
        const y = new Float32Array(elements(outputs, call.samples, call.layout))
        native.spmm(number, Number(call.transpose), call.samples, SparseLayout[call.layout], x, bias, call.relu ? Finish.relu : Finish.none, y)
        native.sparseFree(number)
        return y
      }
      const expected = multiplied(unstructured.rows)
      // Terms are at most 1; sums in any order.
      const tolerance = 2 * (inputs + 2) ** 2 * 2 ** -24
      for (const format of [...Object.values(unstructured), itsOwn]) {
        const y = multiplied(format)
        for (let o = 0; o < outputs; o++)
          for (let s = 0; s < call.samples; s++) {
            const at = place(o, s, outputs, call.samples, call.layout)
            if (!(Math.abs(y[at] - expected[at]) <= tolerance)) throw new Error(`${JSON.stringify(format)}: [${s}, ${o}] is ${y[at]}, expected ${expected[at]}`)
          }
      }
    }),
    { numRuns: 250 },
  )
  t.pass()
})

test('masks that a format cannot hold are refused, and told where', (t) => {
  const refused = (expected: RegExp, kind: SparseFormat, parameters: number[], rows: number, columns: number, kept: number[]) => {
    const weight = new Float32Array(rows * columns)
    for (const i of kept) weight[i] = 1
    const error = t.throws(() => native.sparseCreate(rows, columns, weight, null, kind, parameters), { instanceOf: EspalierError })
    t.is(error?.code, 'INVALID_ARGUMENT')
    t.regex(error?.message ?? '', expected)
  }
  refused(/fan-in: row 1 keeps 1 entries, row 0 2/, SparseFormat.fanIn, [], 2, 3, [0, 1, 5])
  refused(/2:4: row 1 keeps more than 2 of the 4 columns from 4 on/, SparseFormat.nOfM, [2, 4], 2, 8, [0, 12, 13, 15])
  refused(/2x1: rows 2 and 3 keep other columns/, SparseFormat.blocks, [2, 1], 4, 2, [4])
  refused(/1x2: row 1 keeps column 3 but not the whole block/, SparseFormat.blocks, [1, 2], 2, 4, [7])
  refused(/1x2: row 0 keeps column 0 but not the whole block/, SparseFormat.blocks, [1, 2], 1, 4, [0, 2, 3])
  refused(/channels: rows 0 and 2 keep other columns/, SparseFormat.channels, [], 3, 2, [0, 5])
  refused(/dense: 1 of 2 entries are kept/, SparseFormat.dense, [], 1, 2, [0])
  refused(/0 of 4, expected 1 ≤ N < M ≤ 256/, SparseFormat.nOfM, [0, 4], 1, 4, [0])
  refused(/0 by 1, expected 1 to 64 each/, SparseFormat.blocks, [0, 1], 1, 4, [0])
  refused(/parameters has 1 entries, expected 2/, SparseFormat.blocks, [4], 1, 4, [0])
  refused(/parameters has 1 entries, expected 0: no format is named/, SparseFormat.automatic, [4], 1, 4, [0])
})

for (const [format, of] of Object.entries(unstructured))
  test(`${format}: new values need no new matrix; both products follow`, (t) => {
    const matrix = sparse(40, 30, masks.half, of)
    const both = () => {
      for (const transpose of [false, true])
        t.true(worstOfProduct(matrix, exactProduct(matrix, 20, transpose), { transpose, layout: 'rows', bias: true, relu: false }) <= 1)
    }
    both()
    const bytes = native.sparseCodeSize(matrix.number)
    if (format !== 'automatic') t.is(bytes > 0, format === 'generated')
    for (let round = 0; round < 3; round++) {
      const values = noise(matrix.kept.length)
      native.sparseSetValues(matrix.number, values)
      for (const [i, position] of matrix.kept.entries()) matrix.dense[position] = values[i]
      const read = new Float32Array(values.length)
      native.sparseValues(matrix.number, read)
      t.true(sameBits(read, values))
      both()
      t.is(native.sparseCodeSize(matrix.number), bytes)
    }
    native.sparseFree(matrix.number)
  })

for (const [format, of] of [...Object.entries(unstructured), ...Object.entries(structured).filter(([name]) => /^[48]x1$|^channels$/.test(name))])
  test(`${format}: NaN and infinity pass through where entries are kept, and nowhere else; ReLU keeps NaN`, (t) => {
    // Columns 0 and 1 of 40 belong to rows 0…7 and 8…15 alone; what stands in the others is multiplied by nothing.
    const weight = new Float32Array(16 * 40)
    for (let row = 0; row < 16; row++) weight[row * 40 + (row >> 3)] = 1
    if (format === 'channels') for (let row = 0; row < 16; row++) weight[row * 40] = weight[row * 40 + 1] = row < 8 ? 1 : 0
    const number = native.sparseCreate(16, 40, weight, null, of.kind, of.parameters ?? [])
    for (const samples of [1, 17]) {
      const x = new Float32Array(40 * samples).fill(NaN)
      for (let s = 0; s < samples; s++) x.set([s === 0 ? Infinity : NaN, 2], s * 40)
      const y = new Float32Array(16 * samples)
      native.spmm(number, 0, samples, SparseLayout.rows, x, null, Finish.relu, y)
      const channels = format === 'channels'
      for (let s = 0; s < samples; s++)
        for (let row = 0; row < 16; row++) t.is(y[s * 16 + row], row < 8 ? (s === 0 ? Infinity : NaN) : channels ? 0 : 2, `${s}, ${row}`)
    }
    native.sparseFree(number)
  })

test('the same bits from 1, 2, 3 and 8 threads', (t) => {
  const before = native.threads()
  const blocks = structured['4x1']
  const scattered = ['one in ten', 'one in thirty'].flatMap((name) => Object.values(unstructured).map((of) => [of, masks[name]] as const))
  for (const [of, keeps] of [...scattered, [blocks, blocks.keeps()] as const]) {
    const matrix = sparse(300, 700, keeps, of)
    const runs = [1, 2, 3, 8].map((threads) => {
      native.setThreads(threads)
      const [x, dy] = [new Float32Array(700 * 500).map((_, i) => Math.sin(i)), new Float32Array(300 * 500).map((_, i) => Math.cos(i))]
      const [y, few, one, values] = [new Float32Array(300 * 500), new Float32Array(300 * 40), new Float32Array(300), new Float32Array(matrix.kept.length)]
      native.spmm(matrix.number, 0, 500, SparseLayout.rows, x, null, Finish.none, y)
      native.spmm(matrix.number, 0, 40, SparseLayout.columns, x.subarray(0, 700 * 40), null, Finish.none, few)
      native.spmm(matrix.number, 0, 1, SparseLayout.rows, x.subarray(0, 700), null, Finish.none, one)
      native.sddmm(matrix.number, 500, SparseLayout.rows, dy, x, values)
      return [y, few, one, values]
    })
    for (const run of runs.slice(1)) t.true(run.every((made, i) => sameBits(made, runs[0][i])))
    native.sparseFree(matrix.number)
  }
  native.setThreads(before)
})

test('the same bits from every format that sums a row in the order of its columns', (t) => {
  const formats: Record<string, Format> = { rows: unstructured.rows, '4x1': structured['4x1'], ...(generates ? { generated: unstructured.generated } : {}) }
  for (const density of [0.03, 0.3, 0.8])
    for (const [rows, columns, samples] of [
      [140, 400, 37],
      [57, 1000, 20],
      [530, 20, 100],
      [1300, 40, 17],
      [40, 1024, 32],
    ]) {
      const weight = noise(rows * columns)
      const keeps = inBlocks(4, 1, density)
      const mask = Uint8Array.from(weight, (_, i) => Number(keeps(Math.floor(i / columns), i % columns, rows, columns)))
      for (const { transpose, layout, bias, relu } of calls()) {
        const [inputs, outputs] = transpose ? [rows, columns] : [columns, rows]
        const x = noise(elements(inputs, samples, layout))
        const plus = bias ? noise(outputs) : null
        const [expected, ...others] = Object.values(formats).map(({ kind, parameters = [] }) => {
          const number = native.sparseCreate(rows, columns, weight, mask, kind, parameters)
          const y = new Float32Array(elements(outputs, samples, layout))
          native.spmm(number, Number(transpose), samples, SparseLayout[layout], x, plus, relu ? Finish.relu : Finish.none, y)
          native.sparseFree(number)
          // Lanes past the last sample are nobody's.
          return new Uint8Array(
            Float32Array.from({ length: samples * outputs }, (_, i) => y[place(i % outputs, Math.floor(i / outputs), outputs, samples, layout)]).buffer,
          )
        })
        for (const other of others) t.is(Buffer.compare(other, expected), 0, JSON.stringify({ rows, columns, density, transpose, layout, bias, relu }))
      }
    }
})

test('the same bits whatever the core is taken for', (t) => {
  const child = fileURLToPath(new URL('coreBits.ts', import.meta.url))
  const bits = (core: string) => execFileSync(process.execPath, ['--import=tsx', child], { encoding: 'utf8', env: { ...process.env, ESPALIER_CORE: core } })
  const common = bits('common').split('\n')
  t.true(common.length > 32)
  t.deepEqual(bits('zen5').split('\n'), common)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) => t.is(t.throws(call, { instanceOf: EspalierError })?.code as string, code)
  const number = native.sparseCreate(2, 3, noise(6), null, SparseFormat.automatic, [])
  refused('INVALID_ARGUMENT', () => native.spmm(number + 1000, 0, 1, 0, noise(3), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.spmm(number, 0, 1, 0, noise(2), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.spmm(number, 1, 1, 0, noise(2), noise(2), Finish.none, noise(3)))
  refused('DTYPE_MISMATCH', () => native.spmm(number, 0, 1, 0, new Float64Array(3), null, Finish.none, noise(2)))
  refused('INVALID_ARGUMENT', () => native.spmm(number, 2, 1, 0, noise(3), null, Finish.none, noise(2)))
  refused('INVALID_ARGUMENT', () => native.spmm(number, 0, -1, 0, noise(3), null, Finish.none, noise(2)))
  refused('SHAPE_MISMATCH', () => native.spmm(number, 0, 17, SparseLayout.panels, noise(3 * 17), null, Finish.none, noise(2 * 32)))
  refused('INVALID_ARGUMENT', () => native.sparseCost(number, -1))
  refused('SHAPE_MISMATCH', () => native.sparseUnpack(number, noise(5)))
  refused('SHAPE_MISMATCH', () => native.sparseSetValues(number, noise(7)))
  refused('SHAPE_MISMATCH', () => native.sddmm(number, 1, 0, noise(2), noise(2), noise(6)))
  refused('SHAPE_MISMATCH', () => native.sparseCreate(2, 3, noise(5), null, SparseFormat.automatic, []))
  refused('SHAPE_MISMATCH', () => native.sparseCreate(2, 3, noise(6), new Uint8Array(5), SparseFormat.automatic, []))
  refused('DTYPE_MISMATCH', () => native.sparseCreate(2, 3, noise(6), new Int32Array(6), SparseFormat.automatic, []))
  refused('INVALID_ARGUMENT', () => native.sparseCreate(2 ** 16, 2 ** 16, noise(6), null, SparseFormat.automatic, []))
  if (!generates)
    refused('INVALID_ARGUMENT', () => {
      const wanted = native.sparseCreate(2, 3, noise(6), null, SparseFormat.generated, [])
      native.spmm(wanted, 0, 1, 0, noise(3), null, Finish.none, noise(2))
    })
  native.sparseFree(number)
  refused('INVALID_ARGUMENT', () => native.sparseFree(number))
})
