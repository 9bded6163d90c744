// Every operation that compiles gives what the model's own evaluation gives, at odd batch sizes.
import test, { type ExecutionContext } from 'ava'
import { TinyCNN } from '../../examples/tinyCnn.js'
import { compile, Generator, manualSeed, nn, noGrad, ops, Program, prune, qnn, quant, rand, type Tensor, tensor } from '../../lib/index.js'
import { quantNetworks } from '../support/quantNetworks.js'
import { QuantTinyCNN } from '../support/quantTinyCnn.js'

const batches = [1, 2, 3, 17, 33]

/** A module of a forward pass alone, beside some layers. */
class Of<Layers extends Record<string, nn.Module>> extends nn.Module {
  layers: nn.Sequential
  constructor(
    layers: Layers,
    readonly pass: (x: Tensor, layers: Layers) => Tensor,
  ) {
    super()
    this.layers = new nn.Sequential(layers)
  }
  override forward(x: Tensor): Tensor {
    return this.pass(x, Object.fromEntries(this.layers.namedChildren()) as Layers)
  }
}
const of = (pass: (x: Tensor) => Tensor): nn.Module => new Of({}, pass)

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

/** Statistics that batch norm would have after some training. */
function lively<M extends nn.Module>(model: M): M {
  manualSeed(11)
  for (const module of model.modules())
    if (module instanceof nn.BatchNorm2d || module instanceof nn.BatchNorm1d)
      for (const [name, low] of [
        ['running_mean', -1],
        ['running_var', 0.5],
        ['weight', 0.5],
        ['bias', -0.5],
      ] as const)
        (module as unknown as Record<string, Tensor | null>)[name]?.data.set(rand([module.numFeatures]).add(low).data)
  return model
}

const modules: Record<string, readonly [model: () => nn.Module, input: readonly number[]]> = {
  'linear of rows': [() => new nn.Linear(5, 3), [4, 5]],
  'linear without bias': [() => new nn.Linear(7, 9, { bias: false }), [7]],
  'one feature': [() => new nn.Linear(1, 1), [1]],
  'linear, batch norm, relu': [() => new nn.Sequential(new nn.Linear(9, 17), new nn.BatchNorm1d(17), new nn.ReLU(), new nn.Linear(17, 3)), [9]],
  'batch norm alone': [() => new nn.BatchNorm2d(3), [3, 4, 5]],
  'batch norm without factors': [() => new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.BatchNorm2d(3, { affine: false }), new nn.GELU()), [2, 5, 5]],
  'conv, batch norm, relu, pool': [
    () => new nn.Sequential(new nn.Conv2d(3, 8, 3, { padding: 1 }), new nn.BatchNorm2d(8), new nn.ReLU(), new nn.MaxPool2d(2)),
    [3, 9, 7],
  ],
  'conv, strided, dilated, grouped': [() => new nn.Conv2d(4, 8, [3, 2], { stride: [2, 1], padding: 1, dilation: 2, groups: 2 }), [4, 11, 9]],
  'conv, same': [() => new nn.Conv2d(2, 3, 4, { padding: 'same' }), [2, 6, 5]],
  'conv, depthwise': [() => new nn.Conv2d(6, 6, 3, { groups: 6, padding: 1 }), [6, 5, 5]],
  'conv over all of a plane': [() => new nn.Sequential(new nn.Conv2d(3, 5, 4), new nn.ReLU(), new nn.Flatten()), [3, 4, 4]],
  'conv on a larger image': [() => new nn.Conv2d(3, 16, 3, { padding: 1 }), [3, 40, 33]],
  conv1d: [() => new nn.Sequential(new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1 }), new nn.ReLU(), new nn.MaxPool1d(2)), [4, 19]],
  'conv transpose': [() => new nn.ConvTranspose2d(4, 6, 3, { stride: 2, outputPadding: 1, groups: 2 }), [4, 5, 6]],
  'layer norm': [() => new nn.Sequential(new nn.LayerNorm([6, 5]), new nn.LayerNorm(5)), [3, 6, 5]],
  'average pools': [
    () => new nn.Sequential(new nn.AvgPool2d([3, 2], { stride: 1, padding: 1, countIncludePad: false }), new nn.AdaptiveAvgPool2d(2)),
    [2, 7, 6],
  ],
  dropout: [() => new nn.Sequential(new nn.Linear(4, 4), new nn.Dropout(0.5)), [4]],
  identity: [() => new nn.Identity(), [3, 2]],
  TinyCNN: [() => new TinyCNN(), [1, 8, 8]],
}
for (const [name, [make, input]] of Object.entries(modules))
  test(name, (t) => {
    manualSeed(1)
    const program = agree(t, lively(make()), input)
    t.deepEqual(program.inputShape, input)
    program.dispose()
  })

const functions: Record<string, (x: Tensor) => Tensor> = {
  abs: (x) => x.abs(),
  clamp: (x) => x.clamp(-0.5, null),
  elu: (x) => x.elu(0.5),
  exp: (x) => x.exp(),
  gelu: (x) => x.gelu(),
  leakyRelu: (x) => x.leakyRelu(),
  log: (x) => x.abs().add(0.1).log(),
  neg: (x) => x.neg(),
  pow: (x) => x.abs().pow(1.5),
  round: (x) => x.round(),
  sigmoid: (x) => x.sigmoid(),
  sign: (x) => x.sign(),
  silu: (x) => x.silu(),
  sqrt: (x) => x.square().sqrt(),
  tanh: (x) => x.tanh(),
  'numbers on the right': (x) => x.add(1).sub(0.5).mul(3).div(2).maximum(0.25).minimum(1),
  'a constant of the last dimension': (x) => x.mul(tensor([1, 2, 3, 4, 5])),
  'a constant of the channels': (x) => x.sub(tensor([1, -2, 3]).reshape([3, 1])),
  'a constant of a sample': (x) => x.add(new Generator(1).normal([1, 3, 5])),
  'a constant on the left': (x) => ops.sub(tensor([1, 2, 3, 4, 5]), x),
  'operands that stretch': (x) => x.mul(x.mean({ dim: 2, keepdim: true })),
  residual: (x) => x.relu().add(x).mul(x.sub(1)),
  itself: (x) => x.add(1).add(x).mul(2).relu().add(x.neg()),
  softmax: (x) => x.softmax(-1).add(x.logSoftmax(1)),
  sums: (x) => x.sum({ dim: [1, 2], keepdim: true }).add(x.mean({ dim: 1 }).unsqueeze(1)),
  extremes: (x) => x.max({ dim: 1 }).sub(x.min({ dim: -1, keepdim: true }).mean({ dim: 1 })),
  variance: (x) => x.variance({ dim: 2 }),
  reshapes: (x) => x.reshape([-1, 15]).unsqueeze(1).squeeze(1).flatten(1),
  'the batch times rows': (x) => x.reshape([x.shape[0] * 3, 5]).softmax(-1),
  permute: (x) => x.permute([0, 2, 1]).relu(),
  slices: (x) => x.slice({ dim: 2, start: 1, step: 2 }).add(x.select(1, -1).slice({ dim: 1, end: 2 }).unsqueeze(1)),
  pads: (x) => x.pad([1, 2, 0, 1], { value: 0.5 }),
  concat: (x) => ops.concat([x, x.relu(), x.slice({ dim: 1, end: 1 })], 1),
  'concat of the last': (x) => ops.concat([x.neg(), x], 2),
  expand: (x) => x.slice({ dim: 1, end: 1 }).expand([x.shape[0], 4, 5]),
  matmul: (x) =>
    x
      .matmul(x.permute([0, 2, 1]))
      .softmax(-1)
      .matmul(x),
  'matmul by a constant': (x) => x.matmul(new Generator(3).normal([5, 7])),
  'matmul by constants': (x) => x.matmul(new Generator(3).normal([1, 5, 2])),
  'fake quantisers': (x) => ops.fakeQuant(x, tensor([0.1, 0.2, 0.3]).reshape([1, 3, 1]), { min: -4, max: 3, gradient: 'clamped' }),
  'the same twice': (x) => {
    const y = x.exp()
    return y.add(y)
  },
}
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
  for (const { format, kernel, density, predicted, measured, limit, bytes } of steps.slice(0, 2)) {
    t.true(typeof format === 'string' && typeof kernel === 'string' && density === 1)
    t.true((predicted as number) > 0 && (measured as number) > 0 && (limit as number) > 0 && (bytes as number) > 0)
  }
})
