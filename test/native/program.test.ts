// A program's file is not trusted: whatever its bytes are, loading gives a program or an error, and soon. The
// sanitizer's run sees what this alone would not.
import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import { kinds } from '../../lib/compile/describe.js'
import { fused } from '../../lib/compile/fuse.js'
import { lower } from '../../lib/compile/lower.js'
import { compile, EspalierError, graph, manualSeed, nn, ops, type Program, prune, qnn, rand, type Tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { formatsOf, inFormat } from '../support/formats.js'
import { startMemory, startWork } from '../support/work.js'

/** Small, and with a step of nearly every kind. */
class Net extends nn.Module {
  quantise = new qnn.QuantIdentity({ bits: 3, threshold: 2 })
  conv = new qnn.QuantConv2d(1, 2, 2, { weightBits: 3 })
  pruned = new nn.Linear(18, 3)
  norm = new nn.LayerNorm(3)
  override forward(x: Tensor): Tensor {
    const planes = this.conv.forward(this.quantise.forward(x))
    const pooled = nn.AvgPool2d.prototype.forward.call(new nn.AvgPool2d(2, { stride: 1 }), planes)
    const rows = this.norm.forward(this.pruned.forward(planes.flatten(1))).relu()
    return rows
      .add(pooled.permute([0, 2, 3, 1]).flatten(1).slice({ dim: 1, end: 3 }))
      .pad([0, 1], { value: 1 })
      .mul(rows.sum({ dim: 1, keepdim: true }))
      .softmax(-1)
  }
}

/** The other kinds. */
class Rest extends nn.Module {
  wider = new nn.ConvTranspose2d(1, 2, 2)
  override forward(x: Tensor): Tensor {
    const rows = ops.adaptiveAvgPool2d(this.wider.forward(x), 2).flatten(2)
    return rows.matmul(rows.permute([0, 2, 1])).max({ dim: 2 })
  }
}

/** Layers to be had in every format, in float32 and in whole numbers; a linear one and a convolution each. */
const layers: Record<string, () => nn.Module> = {
  linear: () => new nn.Linear(16, 3),
  convolution: () => new nn.Conv2d(1, 2, 3, { padding: 1 }),
  'linear on codes': () => new nn.Sequential(new qnn.QuantIdentity({ bits: 3, threshold: 2 }), new qnn.QuantLinear(16, 3, { weightBits: 3 })),
  'convolution on codes': () => new nn.Sequential(new qnn.QuantIdentity({ bits: 3, threshold: 2 }), new qnn.QuantConv2d(1, 2, 2, { weightBits: 3 })),
}
const shapes = (name: string): number[] => (name.startsWith('linear') ? [16] : [1, 4, 4])

/** A model whose draws are the same every time; masks on plain layers. */
function seeded(make: () => nn.Module): nn.Module {
  manualSeed(5)
  const model = make()
  for (const module of model.modules())
    if ((module instanceof nn.Linear && !(module instanceof qnn.QuantLinear)) || (module instanceof nn.Conv2d && !(module instanceof qnn.QuantConv2d)))
      prune.l1Unstructured(module, 'weight', 0.9)
  return model
}
const networks = [() => new Net(), () => new Rest()]
const compiled = (make: () => nn.Module, input = [1, 4, 4]): Program => compile(seeded(make), { input })

/** Every format of native/program, as its table names them. */
function knownFormats(): string[] {
  const folder = new URL('../../native/program/', import.meta.url)
  const text = (name: string) => readFileSync(new URL(name, folder), 'utf8')
  const all = readdirSync(folder).flatMap((name) => (name.endsWith('.cc') ? [...text(name).matchAll(/^const Format (k\w+)\{"([^"]+)"/gm)] : []))
  const names = new Map(all.map(([, variable, name]) => [variable, name]))
  const [, table] = text('formats.cc').match(/kFormats\[\] = \{([^}]*)\}/) as RegExpMatchArray
  return Array.from(table.matchAll(/&(k\w+)/g), ([, variable]) => names.get(variable) ?? `${variable}, whose name was not found`)
}

/** For each format that some layer can be had in, a program of that layer in it. */
function inEveryFormat(): Map<string, Program> {
  const made = new Map<string, Program>()
  for (const [name, make] of Object.entries(layers)) {
    const program = compiled(make, shapes(name))
    for (const format of formatsOf(program)) if (!made.has(format)) made.set(format, inFormat(program, format))
  }
  return made
}

const formats = inEveryFormat()
const [file, rest] = [compiled(networks[0]).tune(2).toBytes(), compiled(networks[1]).toBytes()]
const headerBytes = 24
const files: readonly (readonly [name: string, bytes: Uint8Array])[] = [
  ['most kinds', file],
  ['other kinds', rest],
  ...Array.from(formats, ([format, program]) => [format, program.toBytes()] as const),
]
/** What stands behind the header. */
const bodies = files.map(([name, bytes]) => [name, bytes.subarray(headerBytes)] as const)

test('every kind of step and every format is among the files', (t) => {
  const met = new Set<string>()
  for (const make of networks) for (const { work } of fused(lower(graph.trace(seeded(make), { input: [1, 4, 4] }))).steps) met.add(work.kind)
  t.deepEqual([...met].sort(), [...kinds].sort())
  // The native table has no kinds beyond these.
  const many = new BigInt64Array([0n, 2n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 1n, 99n, 0n, 0n])
  const { message = '' } = t.throws(() => native.programCreate(new Uint8Array(many.buffer)), { instanceOf: EspalierError }) ?? {}
  t.regex(message, new RegExp(`a step's kind is 99, expected 0 to ${kinds.length - 1}$`))
  // What a processor of another instruction set runs is fuzzed there.
  const here = knownFormats().filter((format) => format !== 'integer planes' || native.isa() === 'avx2')
  t.deepEqual([...formats.keys()].sort(), here.sort())
  for (const [format, program] of formats)
    t.true(
      program.explain({ batch: 3 }).steps.some((step) => step.format === format),
      format,
    )
})

/** What a load and a small run may add to the memory that the process holds at any time. */
const inBounds = startMemory()

/** Loads and, where that worked, runs; the error otherwise. */
function attempt(load: (bytes: Uint8Array) => number, bytes: Uint8Array): EspalierError | undefined {
  const soon = startWork()
  let number = 0
  try {
    number = load(bytes)
    soon()
    inBounds()
    const [input, output] = [native.programInputSize(number), native.programOutputSize(number)]
    const { memory } = JSON.parse(native.programExplain(number, 0, 0)) as { memory: number }
    // A run may take what its sizes ask for.
    if (input + output + memory < 1 << 18) native.programRun(number, 3, new Float32Array(3 * input), new Float32Array(3 * output))
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    soon()
    inBounds()
    return error
  } finally {
    if (number !== 0) native.programFree(number)
  }
  return undefined
}

/** A copy in memory of its own, so that the sanitizer sees one byte too far. */
const copy = (bytes: Uint8Array, length = bytes.length): Uint8Array => new Uint8Array(bytes.subarray(0, length))

for (const [name, bytes] of files) {
  test(`${name}: the file itself is good`, (t) => {
    t.is(attempt(native.programLoad, bytes), undefined)
    t.is(attempt(native.programCreate, copy(bytes.subarray(headerBytes))), undefined)
    t.log(`${bytes.length} bytes`)
  })

  test(`${name}: a file that ends anywhere else is an error`, (t) => {
    for (let length = 0; length < bytes.length; length++)
      if (attempt(native.programLoad, copy(bytes, length)) === undefined) t.fail(`${length} bytes were a program`)
    t.truthy(attempt(native.programLoad, Uint8Array.of(...bytes, 0)))
  })

  test(`${name}: a file with any single bit flipped is an error`, (t) => {
    const flipped = copy(bytes)
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      flipped[bit >> 3] ^= 1 << (bit & 7)
      if (attempt(native.programLoad, flipped) === undefined) t.fail(`bit ${bit} does not matter`)
      flipped[bit >> 3] ^= 1 << (bit & 7)
    }
    t.is(attempt(native.programLoad, flipped), undefined)
  })
}

// Behind the checksum: what a file of ill will can say.
for (const [name, body] of bodies)
  test(`${name}: a description that ends anywhere else, or has any bit flipped, is an error or a program`, (t) => {
    for (let length = 0; length < body.length; length++)
      if (attempt(native.programCreate, copy(body, length)) === undefined) t.fail(`${length} bytes were a program`)
    const flipped = copy(body)
    let refused = 0
    for (let bit = 0; bit < 8 * body.length; bit++) {
      flipped[bit >> 3] ^= 1 << (bit & 7)
      if (attempt(native.programCreate, flipped) !== undefined) refused++
      flipped[bit >> 3] ^= 1 << (bit & 7)
    }
    t.log(`${refused} of ${8 * body.length} flips refused`)
    t.true(refused > body.length)
  })

// Fields stand at any byte.
for (const [name, body] of bodies)
  test(`${name}: a description with numbers replaced is an error or a program`, (t) => {
    const numbers = [-1n, 0n, 1n, 2n, 3n, 31n, 4096n, 1n << 28n, (1n << 31n) - 1n, 1n << 40n, (1n << 53n) + 1n, (1n << 63n) - 1n, -(1n << 63n)]
    let refused = 0
    for (let at = 0; at + 8 <= body.length; at++)
      for (const number of numbers) {
        const changed = copy(body)
        new DataView(changed.buffer).setBigInt64(at, number, true)
        if (attempt(native.programCreate, changed) !== undefined) refused++
      }
    t.true(refused > body.length)
  })

test('numbers that name no program are an error', (t) => {
  for (const call of [
    () => native.programFree(0),
    () => native.programRun(-1, 1, new Float32Array(1), new Float32Array(1)),
    () => native.programTune(2 ** 40, 1),
    () => native.programExplain(0, 1, 0),
    () => native.programRunAsync(0, 1, new Float32Array(1)),
    () => native.programIntegers(0, 0, new Int8Array(1), new Int32Array(1)),
  ])
    t.throws(call, { instanceOf: EspalierError, message: /there is no program/ })
})

test('runs check their arrays', (t) => {
  const number = native.programLoad(file)
  const [x, y] = [rand([2, 1, 4, 4]).data, new Float32Array(8)]
  native.programRun(number, 2, x, y)
  const { steps } = JSON.parse(native.programExplain(number, 1, 0)) as { steps: { codes?: object }[] }
  const layer = steps.findIndex(({ codes }) => codes !== undefined)
  native.programIntegers(number, layer, new Int8Array(8), new Int32Array(2))
  for (const call of [
    () => native.programRun(number, 3, x, y),
    () => native.programRun(number, 2, x, new Float32Array(9)),
    () => native.programRun(number, 2, new Float64Array(32), y),
    () => native.programRun(number, -1, x, y),
    () => native.programRun(number, 2 ** 40, x, y),
    () => native.programRunAsync(number, 3, x as Float32Array),
    () => native.programRunAsync(number, 2, new Float64Array(32) as unknown as Float32Array),
    () => native.programFile(number, new Uint8Array(3)),
    () => native.programTune(number, 0),
    () => native.programExplain(number, -1, 0),
    () => native.programIntegers(number, -1, new Int8Array(8), new Int32Array(2)),
    () => native.programIntegers(number, 99, new Int8Array(8), new Int32Array(2)),
    () => native.programIntegers(number, 0, new Int8Array(8), new Int32Array(2)),
    () => native.programIntegers(number, layer, new Int8Array(7), new Int32Array(2)),
    () => native.programIntegers(number, layer, new Int8Array(8), new Float32Array(2) as unknown as Int32Array),
  ])
    t.throws(call, { instanceOf: EspalierError })
  native.programFree(number)
})
