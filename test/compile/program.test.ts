import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { TinyCNN } from '../../examples/tinyCnn.js'
import { compile, EspalierError, explain, Generator, manualSeed, nn, noGrad, ops, Program, prune, quant, rand, type Tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { formatsOf, inFormat } from '../support/formats.js'
import { quantNetworks } from '../support/quantNetworks.js'

const folder = mkdtempSync(join(tmpdir(), 'espalier-program-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

class Of extends nn.Module {
  constructor(readonly pass: (x: Tensor) => Tensor) {
    super()
  }
  override forward(x: Tensor): Tensor {
    return this.pass(x)
  }
}

test('a saved program gives the same bits, and its file holds what is kept', (t) => {
  const model = new nn.Sequential(new nn.Linear(300, 200), new nn.ReLU(), new nn.Linear(200, 10))
  const x = rand([5, 300])
  const path = join(folder, 'net.esp')
  compile(model, { input: [300] }).save(path)
  const dense = statSync(path).size
  t.true(dense > 4 * 62_000)
  prune.l1Unstructured(model.getModule('0'), 'weight', 0.9)
  const program = compile(model, { input: [300], tune: [5] })
  program.save(path)
  t.true(statSync(path).size < dense / 4)
  t.deepEqual(readdirSync(folder), ['net.esp'])
  const loaded = Program.load(path)
  t.deepEqual(loaded.inputShape, [300])
  t.deepEqual(loaded.outputShape, [10])
  t.deepEqual(loaded.run(x).data, program.run(x).data)
  t.deepEqual(loaded.toBytes(), program.toBytes())
})

test('files that are none are a FORMAT error', (t) => {
  const path = join(folder, 'other.esp')
  for (const content of ['', 'ESPALIER', 'something else altogether']) {
    writeFileSync(path, content)
    t.is(t.throws(() => Program.load(path), { instanceOf: EspalierError })?.code, 'FORMAT')
  }
  const bytes = compile(new nn.Linear(2, 2), { input: [2] }).toBytes()
  bytes[8] = 1
  t.regex(t.throws(() => Program.from(bytes))?.message ?? '', /version 1, this library reads version 2/)
  t.is(t.throws(() => Program.load(join(folder, 'missing.esp')), { instanceOf: EspalierError })?.code, 'INVALID_ARGUMENT')
  t.is(
    t.throws(() => compile(new nn.Linear(2, 2), { input: [2] }).save(join(folder, 'no', 'where.esp')), { instanceOf: EspalierError })?.code,
    'INVALID_ARGUMENT',
  )
  t.throws(() => Program.from('x' as unknown as Uint8Array), { instanceOf: EspalierError })
})

test('runs off the event loop, several at once, on inputs that change meanwhile', async (t) => {
  manualSeed(6)
  const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(8 * 26 * 26, 10))
  const program = compile(model, { input: [1, 28, 28] })
  const inputs = Array.from({ length: 8 }, (_, i) => rand([i + 1, 1, 28, 28]))
  const expected = inputs.map((x) => program.run(x).data.slice())
  const runs = inputs.map((x) => {
    const run = program.runAsync(x)
    x.data.fill(0)
    return run
  })
  program.dispose()
  const results = await Promise.all(runs)
  for (const [i, result] of results.entries()) {
    t.deepEqual(result.shape, [i + 1, 10])
    t.deepEqual(result.data, expected[i])
  }
})

test('an error of a run off the event loop is a rejection', async (t) => {
  const program = compile(new nn.Linear(3, 2), { input: [3] })
  await t.throwsAsync(program.runAsync(rand([2, 4])), { instanceOf: EspalierError, message: /x has shape \[2, 4\], expected a batch of \[3\]/ })
  program.dispose()
  await t.throwsAsync(program.runAsync(rand([2, 3])), { instanceOf: EspalierError, message: /was disposed of/ })
})

test('inputs are checked', (t) => {
  const program = compile(new TinyCNN(), { input: [1, 8, 8] })
  for (const x of [rand([1, 8, 8]), rand([1, 1, 8, 9]), rand([2, 2, 8, 8]), rand([1, 1, 8, 8]).to('float64'), null as unknown as Tensor])
    t.throws(() => program.run(x), { instanceOf: EspalierError, message: /^run: x/ })
  for (const batch of [0, 1.5, '1'] as number[]) {
    t.throws(() => program.tune(batch), { instanceOf: EspalierError })
    t.throws(() => program.explain({ batch }), { instanceOf: EspalierError })
  }
  program.dispose()
  program.dispose()
  t.throws(() => program.run(rand([1, 1, 8, 8])), { instanceOf: EspalierError, message: /disposed of/ })
})

test('what cannot be compiled is an error that names the operation', (t) => {
  const refusal = (pass: (x: Tensor) => Tensor): string =>
    t.throws(() => compile(new Of(pass), { input: [3, 4] }), { instanceOf: EspalierError })?.message ?? ''
  t.regex(
    refusal((x) => ops.indexSelect(x.relu(), 1, ops.argmax(rand([2, 3])).reshape([1]))),
    /compile: index_select \(%2, \[n, 1, 4\]\) cannot be compiled: there is no native step for it/,
  )
  t.regex(
    refusal((x) => x.sum()),
    /sum cannot be compiled: %1 has shape \[\], expected the batch n in its first dimension|sum \(%1, \[\]\) cannot be compiled/,
  )
  t.regex(
    refusal((x) => x.permute([1, 0, 2])),
    /permute .*expected the batch n in its first dimension|it moves the batch/,
  )
  t.regex(
    refusal((x) => x.softmax(0)),
    /softmax .* it runs along the batch/,
  )
  t.regex(
    refusal((x) => x.slice({ dim: 0, end: 1 })),
    /slice .*cannot be compiled/,
  )
  t.regex(
    t.throws(() => compile(new nn.BatchNorm1d(3, { trackRunningStats: false }), { input: [3] }))?.message ?? '',
    /batch_norm .* it normalises by the statistics of the batch/,
  )
  t.throws(() => compile(new TinyCNN(), undefined as never), { instanceOf: EspalierError, message: /^compile: options/ })
})

test('a quantised network compiles without gradients and frozen as it does in evaluation', (t) => {
  for (const [name, make] of Object.entries(quantNetworks)) {
    const { model, input } = make()
    const x = new Generator(1).normal([5, ...input])
    const programs = [compile(model, { input }), noGrad(() => compile(model, { input })), compile(quant.freeze(model), { input })]
    const expected = noGrad(() => model.forward(x)).data
    const bits = (program: Program) => program.explain().steps.map(({ accumulatorBits }) => accumulatorBits)
    for (const program of programs) {
      t.deepEqual(program.run(x).data, expected, name)
      t.deepEqual(bits(program), bits(programs[0]), name)
    }
  }
})

test('a batch that is cut into pieces is computed as one', (t) => {
  manualSeed(8)
  const model = new nn.Sequential(new nn.Conv2d(3, 16, 3, { padding: 1 }), new nn.ReLU(), new nn.AdaptiveAvgPool2d(1), new nn.Flatten())
  const program = compile(model, { input: [3, 32, 32] })
  const { together } = program.explain({ batch: 100 })
  t.true(together < 100)
  const x = rand([100, 3, 32, 32])
  const whole = program.run(x).data
  const part = program.run(x.slice({ start: 90 })).data
  for (let i = 0; i < part.length; i++) t.true(Math.abs(part[i] - whole[90 * 16 + i]) < 1e-6)
  // The bits do not depend on the threads.
  const threads = native.threads()
  native.setThreads(1)
  t.deepEqual(program.run(x).data, whole)
  native.setThreads(threads)
})

test('largest values come with a convolution or behind it, in every format', (t) => {
  manualSeed(9)
  const conv = new nn.Conv2d(2, 6, 3, { padding: 1 })
  prune.l1Unstructured(conv, 'weight', 0.7)
  const alone = new nn.Sequential(conv, new nn.ReLU(), new nn.MaxPool2d(2), new nn.Flatten())
  // What else reads the convolution's result needs all of it.
  const beside = new Of((x) => {
    const y = conv.forward(x)
    return ops.concat([ops.maxPool2d(y, { kernelSize: 2 }).flatten(1), y.flatten(1)], 1)
  })
  for (const model of [alone.eval(), beside])
    for (const [height, width] of [
      [13, 18],
      [4, 5],
      [2, 40],
    ]) {
      const input = [2, height, width]
      const compiled = compile(model, { input })
      for (const format of formatsOf(compiled))
        for (const n of [1, 19]) {
          const x = rand([n, ...input]).sub(0.5)
          const [actual, expected] = [inFormat(compiled, format).run(x).data, model.forward(x).data]
          for (let i = 0; i < expected.length; i++)
            if (!(Math.abs(actual[i] - expected[i]) < 1e-5)) return t.fail(`${format}, ${input}: ${actual[i]}, expected ${expected[i]}`)
        }
    }
  t.pass()
})

test('explain prints a table', (t) => {
  const model = new nn.Sequential({ first: new nn.Linear(64, 32), relu: new nn.ReLU(), last: new nn.Linear(32, 10) })
  const told = explain(model, { input: [64], batch: 4, repeats: 2 })
  t.is(told.batch, 4)
  t.regex(String(told), /first .* linear, relu .* 100\.0% /)
})
