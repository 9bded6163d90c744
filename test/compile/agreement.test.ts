// Every operation that compiles gives what the model's own evaluation gives, at odd batch sizes.
import test, { type ExecutionContext } from 'ava'
import { TinyCNN } from '../../examples/tinyCnn.js'
import { compile, Generator, kernels, manualSeed, nn, noGrad, ops, Program, prune, qnn, quant, rand, type Tensor, tensor } from '../../lib/index.js'
import { functions, lively, modules, of } from '../support/networks.js'
import { quantNetworks } from '../support/quantNetworks.js'
import { QuantTinyCNN } from '../support/quantTinyCnn.js'

const batches = [1, 2, 3, 17, 33]

function agree(t: ExecutionContext, model: nn.Module, input: readonly number[], { tolerance = 1e-5, sizes = batches } = {}): Program {
  const program = compile(model, { input })
  model.eval()
  const generator = new Generator(7)
  for (const n of sizes) {
    const x = generator.normal([n, ...input])
    const [expected, actual] = [noGrad(() => model.forward(x)), program.run(x)]
    t.deepEqual(actual.shape, expected.shape)
    let largest = 1
    let worst = 0
    for (let i = 0; i < expected.size; i++) {
      largest = Math.max(largest, Math.abs(expected.data[i]))
      // Equal infinities and NaNs agree.
      if (!Object.is(expected.data[i], actual.data[i])) worst = Math.max(worst, Math.abs(expected.data[i] - actual.data[i]))
    }
    t.true(worst <= tolerance * largest, `batch ${n}: off by ${worst} of ${largest}`)
  }
  return program
}

for (const [name, [make, input]] of Object.entries(modules))
  test(name, (t) => {
    manualSeed(1)
    const program = agree(t, lively(make()), input)
    t.deepEqual(program.inputShape, input)
    program.dispose()
  })

for (const [name, pass] of Object.entries(functions)) test(name, (t) => agree(t, of(pass), [3, 5]).dispose())

test('a batch of none', (t) => {
  const program = compile(new TinyCNN(), { input: [1, 8, 8] })
  t.deepEqual(program.run(tensor(new Float32Array(0), { dtype: 'float32' }).reshape([0, 1, 8, 8])).shape, [0, 10])
})

for (const sparsity of [0, 0.5, 0.9, 0.97, 1])
  test(`pruned to ${sparsity}: every format of every layer agrees`, (t) => {
    manualSeed(4)
    const model = new nn.Sequential(
      ...[new nn.Conv2d(3, 6, 5, { padding: 2, stride: 2 }), new nn.ReLU(), new nn.MaxPool2d(2)],
      ...[new nn.Conv2d(6, 9, 3), new nn.BatchNorm2d(9), new nn.ReLU(), new nn.Conv2d(9, 7, 1), new nn.Flatten()],
      ...[new nn.Linear(63, 40), new nn.ReLU(), new nn.Linear(40, 10)],
    )
    for (const module of model.modules()) if (module instanceof nn.Conv2d || module instanceof nn.Linear) prune.l1Unstructured(module, 'weight', sparsity)
    const program = agree(t, lively(model), [3, 20, 20])
    // Whatever is the fastest, and whatever takes its turn while that is found.
    program.tune(1, 3, 33)
    const tuned = Program.from(program.toBytes())
    const x = rand([33, 3, 20, 20])
    const expected = noGrad(() => model.forward(x)).data
    for (const one of [program, tuned]) {
      const actual = one.run(x).data
      t.true(actual.every((value, i) => Math.abs(value - expected[i]) <= 1e-5 * Math.max(1, Math.abs(expected[i]))))
    }
    t.deepEqual(
      tuned.explain({ batch: 33 }).steps.map(({ format }) => format),
      program.explain({ batch: 33 }).steps.map(({ format }) => format),
    )
    t.true(tuned.explain().steps.every(({ format, tuned: measured }) => format === undefined || measured))
  })

test('quantised networks give the bits of their evaluation', (t) => {
  manualSeed(2)
  const model = new QuantTinyCNN(4).train()
  for (let i = 0; i < 12; i++) model.forward(rand([16, 1, 8, 8]))
  agree(t, model, [1, 8, 8], { tolerance: 0 })
  const steps = compile(model, { input: [1, 8, 8] }).explain().steps
  t.true(steps.some(({ operation }) => operation === 'scale, fake_quant_by_threshold'))
})

test('what is proved of sums is what certificates state', (t) => {
  for (const [name, make] of Object.entries(quantNetworks)) {
    const { model, input } = make()
    using program = compile(model, { input })
    using loaded = Program.from(program.toBytes())
    const { layers } = quant.certify(model)
    t.true(layers.length >= 2, name)
    for (const one of [program, loaded]) {
      const certificate = quant.certify(one)
      certificate.verify()
      t.deepEqual(
        certificate.layers.map((layer) => [layer.name, layer.weights, layer.neurons]),
        layers.map((layer) => [layer.name, layer.weights, layer.neurons]),
        name,
      )
      t.deepEqual(
        one.explain().steps.flatMap(({ layer, codes, sums, accumulatorBits }) => (sums === undefined ? [] : [{ layer, codes, sums, bits: accumulatorBits }])),
        layers.map((layer) => ({ layer: layer.name, codes: { ...layer.input }, sums: { min: layer.min, max: layer.max }, bits: layer.bits })),
        name,
      )
    }
  }
})

test('networks in whole numbers give the bits of their evaluation', (t) => {
  manualSeed(5)
  const widths = { weightBits: 3, accumulatorBits: 8 }
  const model = new nn.Sequential(
    new qnn.Codes({ max: 7 }),
    new qnn.IntegerConv2d(1, 8, 3, widths),
    new qnn.Requantise(8, { max: 5 }),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new qnn.IntegerLinear(72, 10, widths),
    new qnn.Rescale(10),
  )
  quant.startIntegers(model, rand([100, 1, 8, 8]))
  agree(t, model, [1, 8, 8], { tolerance: 0 })
})

test('a zero point between layers', (t) => {
  manualSeed(6)
  const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 5, asymmetric: true }), new qnn.QuantLinear(12, 5, { weightBits: 4 })).train()
  for (let i = 0; i < 12; i++) model.forward(rand([16, 12]))
  agree(t, model, [12], { tolerance: 1e-6 })
})

test('quantised layers with float biases, scales a channel, and batch norm', (t) => {
  manualSeed(2)
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 5 }),
    new qnn.QuantConv2d(2, 4, 3, { weightBits: 5, perChannel: true }),
    new nn.BatchNorm2d(4),
    new qnn.QuantReLU({ bits: 5 }),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new qnn.QuantLinear(16, 5, { weightBits: 3, powerOfTwo: true }),
  ).train()
  for (let i = 0; i < 12; i++) model.forward(rand([16, 2, 6, 6]))
  agree(t, model, [2, 6, 6], { tolerance: 1e-6 })
})

test('what rises with its argument waits for the maxima of windows', (t) => {
  manualSeed(3)
  const windows = (pass: (x: Tensor) => Tensor) => of((x) => ops.maxPool2d(pass(x), { kernelSize: 2, stride: 1, padding: 1 }))
  const channels = (...values: number[]) => tensor(values).reshape([3, 1, 1])
  const order = (pass: (x: Tensor) => Tensor): string => {
    const program = agree(t, windows(pass), [3, 4, 5], { tolerance: 0 })
    return program
      .explain()
      .steps.map(({ operation }) => operation)
      .join('; ')
  }
  t.is(
    order((x) =>
      x
        .mul(channels(0.3, 2, 7))
        .add(channels(-1, 0, 5))
        .round()
        .clamp(-3, 9)
        .div(3),
    ),
    'max_pool2d; mul, add, round, clamp, div',
  )
  t.is(
    order((x) => x.relu().sub(0.5)),
    'max_pool2d; relu, sub',
  )
  for (const falls of [
    (x: Tensor) => x.mul(channels(1, -2, 3)),
    (x: Tensor) => x.mul(-1).round(),
    (x: Tensor) => x.abs().add(1),
    (x: Tensor) => x.mul(channels(1, 0, 1)),
  ])
    t.regex(order(falls), /; max_pool2d$/)
  t.regex(
    order((x) => x.add(x.sum({ dim: 1, keepdim: true }).expand([x.shape[0], 3, 4, 5]))),
    /; max_pool2d$/,
  )
})

test('sparse layers keep what they hold', (t) => {
  const dense = new nn.Linear(40, 30)
  prune.l1Unstructured(dense, 'weight', 0.8)
  const program = agree(t, new nn.Sequential(nn.SparseLinear.from(dense), new nn.ReLU()), [40])
  t.is(program.explain().steps[0].density, 0.2)
})

test('a sparse product with its ReLU', (t) => {
  const mask = Uint8Array.from({ length: 40 * 30 }, (_, i) => Number(i % 5 === 0))
  const matrix = new kernels.SparseMatrix(new Float32Array(mask.length), 30, 40, { mask })
  const [values, bias] = [rand([matrix.count]).sub(0.5), rand([30]).sub(0.5)]
  for (const rectified of [false, true]) {
    const program = agree(
      t,
      of((x) => ops.sparseLinear(x, values, matrix, bias, rectified)),
      [40],
    )
    t.is(program.explain().steps.length, 1)
    t.is(
      program.run(rand([17, 40]).sub(0.5)).data.some((value) => value < 0),
      !rectified,
    )
  }
})

test('later training leaves a program as it is', (t) => {
  const model = new nn.Linear(4, 3)
  const program = compile(model, { input: [4] })
  const x = rand([2, 4])
  const before = program.run(x).toArray()
  model.weight.data.fill(0)
  t.deepEqual(program.run(x).toArray(), before)
})

test('what follows a layer becomes part of it', (t) => {
  const model = new nn.Sequential(
    new nn.Conv2d(1, 4, 3),
    new nn.BatchNorm2d(4),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(144, 8),
    new nn.ReLU(),
    new nn.Sigmoid(),
  )
  const { steps, memory, memoryUnshared } = compile(model, { input: [1, 8, 8] }).explain({ repeats: 3 })
  t.deepEqual(
    steps.map(({ layer, operation }) => [layer, operation]),
    [
      ['0', 'conv2d, batch_norm, relu'],
      ['4', 'linear, relu'],
      ['', 'sigmoid'],
    ],
  )
  t.true(memory < memoryUnshared)
  for (const { format, kernel, density, predicted, measured, making, limit, bytes } of steps.slice(0, 2)) {
    t.true(typeof format === 'string' && typeof kernel === 'string' && density === 1)
    t.true((predicted as number) > 0 && (measured as number) > 0 && (making as number) > 0 && (limit as number) > 0 && (bytes as number) > 0)
  }
})
