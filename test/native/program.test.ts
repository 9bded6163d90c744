// A program's file is not trusted: whatever its bytes are, loading gives a program or an error, and soon. The
// sanitizer's run sees what this alone would not.
import test from 'ava'
import { compile, EspalierError, manualSeed, nn, type Program, prune, qnn, rand, type Tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { inFormat } from '../support/formats.js'
import { startWork } from '../support/work.js'

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

function compiled(): Program {
  manualSeed(5)
  const model = new Net()
  prune.l1Unstructured(model.pruned, 'weight', 0.9)
  return compile(model, { input: [1, 4, 4] })
}

const file = compiled().tune(2).toBytes()
const headerBytes = 24
/** What stands behind the header, with the fastest formats and with those of integers. */
const bodies = [file, ...['integer columns', 'integer unrolled'].map((format) => inFormat(compiled(), format).toBytes())].map((bytes) =>
  bytes.subarray(headerBytes),
)

/** Loads and, where that worked, runs; the error otherwise. */
function attempt(load: (bytes: Uint8Array) => number, bytes: Uint8Array): EspalierError | undefined {
  const soon = startWork()
  let number = 0
  try {
    number = load(bytes)
    soon()
    const [input, output] = [native.programInputSize(number), native.programOutputSize(number)]
    const { memory } = JSON.parse(native.programExplain(number, 0, 0)) as { memory: number }
    // A run may take what its sizes ask for.
    if (input + output + memory < 1 << 18) native.programRun(number, 3, new Float32Array(3 * input), new Float32Array(3 * output))
  } catch (error) {
    if (!(error instanceof EspalierError)) throw error
    soon()
    return error
  } finally {
    if (number !== 0) native.programFree(number)
  }
  return undefined
}

/** A copy in memory of its own, so that the sanitizer sees one byte too far. */
const copy = (bytes: Uint8Array, length = bytes.length): Uint8Array => new Uint8Array(bytes.subarray(0, length))

test('the file itself is good', (t) => {
  t.is(attempt(native.programLoad, file), undefined)
  t.is(attempt(native.programCreate, copy(file.subarray(headerBytes))), undefined)
  t.log(`${file.length} bytes`)
})

test('a file that ends anywhere else is an error', (t) => {
  for (let length = 0; length < file.length; length++)
    if (attempt(native.programLoad, copy(file, length)) === undefined) t.fail(`${length} bytes were a program`)
  t.truthy(attempt(native.programLoad, Uint8Array.of(...file, 0)))
})

test('a file with any single bit flipped is an error', (t) => {
  const flipped = copy(file)
  for (let bit = 0; bit < 8 * file.length; bit++) {
    flipped[bit >> 3] ^= 1 << (bit & 7)
    if (attempt(native.programLoad, flipped) === undefined) t.fail(`bit ${bit} does not matter`)
    flipped[bit >> 3] ^= 1 << (bit & 7)
  }
  t.is(attempt(native.programLoad, flipped), undefined)
})

// Behind the checksum: what a file of ill will can say.
test('a description that ends anywhere else, or has any bit flipped, is an error or a program', (t) => {
  for (const body of bodies) {
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
  }
})

test('a description with numbers replaced is an error or a program', (t) => {
  const [, body] = bodies
  const numbers = [-1n, 0n, 1n, 2n, 3n, 31n, 4096n, 1n << 28n, (1n << 31n) - 1n, 1n << 40n, (1n << 53n) + 1n, (1n << 63n) - 1n, -(1n << 63n)]
  let refused = 0
  // Fields stand at any byte.
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
