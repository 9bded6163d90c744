import test from 'ava'
import { arange, EspalierError, Generator, nn, ones, ops, qnn, rand, type Tensor, tensor, zeros } from '../../lib/index.js'

const close = (actual: Tensor, expected: ArrayLike<number>, tolerance = 1e-6): boolean =>
  actual.size === expected.length &&
  Array.from(actual.data).every((value, i) => Math.abs(value - expected[i]) <= tolerance * Math.max(1, Math.abs(expected[i])))

const x4 = (): Tensor => rand([2, 4, 6, 5])

/** A layer, an input, and the operation it stands for. */
const calls: Record<string, { layer: () => nn.Module; x: () => Tensor; expected: (layer: never, x: Tensor) => Tensor; keys?: string[] }> = {
  linear: {
    layer: () => new nn.Linear(5, 3),
    x: x4,
    expected: ({ weight, bias }: nn.Linear, x) => ops.linear(x, weight, bias),
    keys: ['weight', 'bias'],
  },
  'linear without bias': {
    layer: () => new nn.Linear(5, 3, { bias: false }),
    x: x4,
    expected: ({ weight }: nn.Linear, x) => ops.linear(x, weight, null),
    keys: ['weight'],
  },
  conv1d: {
    layer: () => new nn.Conv1d(4, 6, 3, { stride: 2, padding: 1, groups: 2 }),
    x: () => rand([2, 4, 9]),
    expected: ({ weight, bias }: nn.Conv1d, x) => ops.conv1d(x, weight, bias, { stride: 2, padding: 1, groups: 2 }),
    keys: ['weight', 'bias'],
  },
  conv2d: {
    layer: () => new nn.Conv2d(4, 8, [3, 2], { stride: [2, 1], padding: 1, dilation: 2, groups: 2 }),
    x: x4,
    expected: ({ weight, bias }: nn.Conv2d, x) => ops.conv2d(x, weight, bias, { stride: [2, 1], padding: 1, dilation: 2, groups: 2 }),
    keys: ['weight', 'bias'],
  },
  'conv2d same': {
    layer: () => new nn.Conv2d(4, 8, 3, { padding: 'same', bias: false }),
    x: x4,
    expected: ({ weight }: nn.Conv2d, x) => ops.conv2d(x, weight, null, { padding: 1 }),
    keys: ['weight'],
  },
  convTranspose2d: {
    layer: () => new nn.ConvTranspose2d(4, 6, 3, { stride: 2, outputPadding: 1, groups: 2 }),
    x: x4,
    expected: ({ weight, bias }: nn.ConvTranspose2d, x) => ops.convTranspose2d(x, weight, bias, { stride: 2, outputPadding: 1, groups: 2 }),
    keys: ['weight', 'bias'],
  },
  layerNorm: {
    layer: () => new nn.LayerNorm([6, 5]),
    x: x4,
    expected: (_: nn.LayerNorm, x) => ops.layerNorm(x, null, null, { normalizedShape: [6, 5] }),
    keys: ['weight', 'bias'],
  },
  maxPool2d: { layer: () => new nn.MaxPool2d(2), x: x4, expected: (_, x) => ops.maxPool2d(x, { kernelSize: 2, stride: 2 }) },
  avgPool2d: {
    layer: () => new nn.AvgPool2d([3, 2], { stride: 1, padding: 1, countIncludePad: false }),
    x: x4,
    expected: (_, x) => ops.avgPool2d(x, { kernelSize: [3, 2], stride: 1, padding: 1, countIncludePad: false }),
  },
  maxPool1d: {
    layer: () => new nn.MaxPool1d(3, { stride: 2, padding: 1 }),
    x: () => rand([2, 4, 9]),
    expected: (_, x) => ops.maxPool1d(x, { kernelSize: 3, stride: 2, padding: 1 }),
  },
  avgPool1d: { layer: () => new nn.AvgPool1d(2), x: () => rand([2, 4, 9]), expected: (_, x) => ops.avgPool1d(x, { kernelSize: 2, stride: 2 }) },
  adaptiveAvgPool2d: { layer: () => new nn.AdaptiveAvgPool2d([2, 3]), x: x4, expected: (_, x) => ops.adaptiveAvgPool2d(x, [2, 3]) },
  flatten: { layer: () => new nn.Flatten(), x: x4, expected: (_, x) => ops.reshape(x, [2, 120]) },
  'flatten a part': { layer: () => new nn.Flatten(1, 2), x: x4, expected: (_, x) => ops.reshape(x, [2, 24, 5]) },
  identity: { layer: () => new nn.Identity(), x: x4, expected: (_, x) => x },
  relu: { layer: () => new nn.ReLU(), x: x4, expected: (_, x) => ops.relu(x) },
  leakyRelu: { layer: () => new nn.LeakyReLU(0.2), x: x4, expected: (_, x) => ops.leakyRelu(x, 0.2) },
  gelu: { layer: () => new nn.GELU(), x: x4, expected: (_, x) => ops.gelu(x) },
  silu: { layer: () => new nn.SiLU(), x: x4, expected: (_, x) => ops.silu(x) },
  sigmoid: { layer: () => new nn.Sigmoid(), x: x4, expected: (_, x) => ops.sigmoid(x) },
  tanh: { layer: () => new nn.Tanh(), x: x4, expected: (_, x) => ops.tanh(x) },
  hardtanh: { layer: () => new nn.Hardtanh(0.2, 0.4), x: x4, expected: (_, x) => ops.clamp(x, 0.2, 0.4) },
  softmax: { layer: () => new nn.Softmax(1), x: x4, expected: (_, x) => ops.softmax(x, 1) },
  logSoftmax: { layer: () => new nn.LogSoftmax(), x: x4, expected: (_, x) => ops.logSoftmax(x, -1) },
  sequential: {
    layer: () => new nn.Sequential(new nn.Sigmoid(), new nn.Flatten()),
    x: x4,
    expected: (_, x) => ops.reshape(ops.sigmoid(x), [2, 120]),
    keys: [],
  },
}

for (const [name, { layer, x, expected, keys = [] }] of Object.entries(calls))
  test(`${name} computes what its operation does; so does its copy`, (t) => {
    const made = layer()
    const input = x()
    const output = made.forward(input)
    const wanted = expected(made as never, input)
    t.deepEqual(output.shape, wanted.shape)
    t.true(close(output, wanted.data))
    t.deepEqual(Object.keys(made.stateDict()), keys)
    t.true(close(made.clone().forward(input), output.data, 0))
    t.true(String(made).startsWith(made.constructor.name))
  })

test('layers work in float64 after to', (t) => {
  const net = new nn.Sequential(new nn.Conv2d(4, 2, 3), new nn.BatchNorm2d(2), new nn.ReLU(), new nn.Flatten(), new nn.Linear(24, 3)).to('float64')
  const y = net.forward(rand([2, 4, 6, 5], { dtype: 'float64' }))
  t.is(y.dtype, 'float64')
  y.sum().backward()
  t.true(net.parameters().every(({ grad }) => grad?.dtype === 'float64'))
})

test('the same generator gives the same initial weights', (t) => {
  const make = (seed: number): Tensor => new nn.Conv2d(2, 3, 3, { generator: new Generator(seed) }).weight
  t.deepEqual(make(5).toArray(), make(5).toArray())
  t.notDeepEqual(make(5).toArray(), make(6).toArray())
})

test('batch norm follows the batch in training and the running statistics in evaluation', (t) => {
  const norm = new nn.BatchNorm2d(2, { momentum: 0.5 })
  const x = arange(16).reshape([2, 2, 2, 2])
  norm.forward(x)
  t.is(norm.num_batches_tracked?.item(), 1)
  // Channel 0 holds 0…3 and 8…11: mean 5.5, unbiased variance 146 / 7 + … = 19.714.
  t.true(close(norm.running_mean as Tensor, [2.75, 4.75]))
  t.true(close(norm.running_var as Tensor, [0.5 + 0.5 * (138 / 7), 0.5 + 0.5 * (138 / 7)], 1e-5))
  norm.eval()
  const [before, y] = [norm.running_mean?.toArray(), norm.forward(x)]
  t.deepEqual(norm.running_mean?.toArray(), before)
  t.is(norm.num_batches_tracked?.item(), 1)
  t.true(close(y, ops.batchNorm(x, norm.weight, norm.bias, { runningMean: norm.running_mean as Tensor, runningVar: norm.running_var as Tensor }).data))
})

test('batch norm with momentum null averages all batches equally', (t) => {
  const norm = new nn.BatchNorm1d(1, { momentum: null, affine: false })
  for (const batch of [
    [0, 2],
    [2, 4],
    [7, 9],
  ])
    norm.forward(tensor(batch.map((value) => [value])))
  t.true(close(norm.running_mean as Tensor, [4]))
  t.true(close(norm.running_var as Tensor, [2]))
})

test('batch norm without running statistics always follows the batch', (t) => {
  const norm = new nn.BatchNorm1d(3, { trackRunningStats: false }).eval()
  t.deepEqual(Object.keys(norm.stateDict()), ['weight', 'bias'])
  const y = norm.forward(rand([8, 3]))
  t.true(close(ops.mean(y, { dim: 0 }), [0, 0, 0], 1e-5))
})

test('a failing forward leaves batch norm’s count alone', (t) => {
  const norm = new nn.BatchNorm2d(2)
  t.throws(() => norm.forward(zeros([2, 3, 2, 2])), { instanceOf: EspalierError, message: /\[2, 3, 2, 2\]/ })
  t.throws(() => norm.forward(zeros([2, 2])), { instanceOf: EspalierError })
  t.is(norm.num_batches_tracked?.item(), 0)
})

test('dropout drops in training only, keeps the mean, and follows its generator', (t) => {
  const make = (): nn.Dropout => new nn.Dropout(0.25, { generator: new Generator(3) })
  const drop = make()
  const x = ones([4000])
  const y = drop.forward(x)
  const kept = Array.from(y.data).filter((value) => value !== 0)
  t.true(kept.every((value) => value === Math.fround(1 / 0.75)))
  t.true(Math.abs(kept.length / 4000 - 0.75) < 0.03)
  t.deepEqual(make().forward(x).toArray(), y.toArray())
  t.is(drop.eval().forward(x), x)
  t.true(new nn.Dropout(1).forward(x).data.every((value) => value === 0))
  for (const p of [-0.1, 1.1, Number.NaN]) t.throws(() => new nn.Dropout(p), { instanceOf: EspalierError })
})

test('embedding looks rows up; the padding row stays zero', (t) => {
  const table = new nn.Embedding(6, 3, { paddingIdx: -6 })
  t.is(table.paddingIdx, 0)
  const y = table.forward(tensor(new Int32Array([0, 2, 2, 5]), [2, 2]))
  t.deepEqual(y.shape, [2, 2, 3])
  t.deepEqual(y.toArray()[0 as never][0], [0, 0, 0])
  y.sum().backward()
  t.deepEqual(
    Array.from({ length: 6 }, (_, row) => table.weight.grad?.data[row * 3]),
    [0, 0, 2, 0, 0, 1],
  )
})

test('sequential: names, places, appending', (t) => {
  const net = new nn.Sequential({ fc: new nn.Linear(2, 3), act: new nn.ReLU() }).append(new nn.Linear(3, 1))
  t.deepEqual(Object.keys(net.stateDict()), ['fc.weight', 'fc.bias', '2.weight', '2.bias'])
  t.is(net.length, 3)
  t.is(net.at(-1)?.constructor.name, 'Linear')
  t.is([...net].length, 3)
  t.is(new nn.Sequential().forward(ones([2])).size, 2)
  t.throws(() => new nn.Sequential({ forward: new nn.ReLU() }), { instanceOf: EspalierError })
  t.throws(() => new nn.Sequential(new nn.ReLU(), 3 as never), { instanceOf: EspalierError })
  const order = new nn.Sequential(...Array.from({ length: 12 }, (_, i) => new nn.Linear(1, i + 1)))
  t.deepEqual(
    [...order].map((module) => (module as nn.Linear).outFeatures),
    Array.from({ length: 12 }, (_, i) => i + 1),
  )
})

test('a module list keeps modules and has no forward', (t) => {
  const list = new nn.ModuleList([new nn.Linear(1, 2)]).append(new nn.Linear(2, 3))
  t.deepEqual(Object.keys(list.stateDict()), ['0.weight', '0.bias', '1.weight', '1.bias'])
  t.is(list.length, 2)
  t.throws(() => list.forward(), { instanceOf: EspalierError, code: 'STATE' })
})

test('losses compute what their operations do', (t) => {
  const [x, y] = [rand([4, 3]), rand([4, 3])]
  const labels = tensor(new Int32Array([0, 2, 1, 2]))
  const weight = tensor([1, 2, 3])
  const same = (loss: nn.Module, target: Tensor, expected: Tensor): boolean => t.deepEqual(loss.forward(x, target).toArray(), expected.toArray())
  same(new nn.CrossEntropyLoss({ weight, labelSmoothing: 0.1 }), labels, ops.crossEntropy(x, labels, { weight, labelSmoothing: 0.1 }))
  same(new nn.NLLLoss({ reduction: 'sum', ignoreIndex: 2 }), labels, ops.nllLoss(x, labels, { reduction: 'sum', ignoreIndex: 2 }))
  same(new nn.MSELoss({ reduction: 'none' }), y, ops.mseLoss(x, y, { reduction: 'none' }))
  same(new nn.L1Loss(), y, ops.l1Loss(x, y))
  same(new nn.BCEWithLogitsLoss({ posWeight: weight }), y, ops.bceWithLogits(x, y, { posWeight: weight }))
  t.is(new nn.CrossEntropyLoss({ weight }).to('float64').weight?.dtype, 'float64')
})

test('sizes that are none are errors', (t) => {
  const bad: (() => unknown)[] = [
    () => new nn.Linear(-1, 2),
    () => new nn.Linear(2.5, 2),
    () => new nn.Linear('3' as never, 2),
    () => new nn.Linear(2 ** 32 + 5, 2 ** 32),
    () => new nn.Conv2d(3, 4, 0),
    () => new nn.Conv2d(3, 4, [1, 2, 3] as never),
    () => new nn.Conv2d(3, 4, 3, { groups: 2 }),
    () => new nn.Conv2d(3, 4, 3, { groups: 0 }),
    () => new nn.Conv1d(3, 4, 1.5),
    () => new nn.ConvTranspose2d(4, 3, 2, { groups: 2 }),
    () => new nn.BatchNorm2d(Number.NaN),
    () => new nn.BatchNorm2d(2, { momentum: 2 }),
    () => new nn.LayerNorm([]),
    () => new nn.Embedding(3, 2, { paddingIdx: 3 }),
    () => new nn.MaxPool2d(0),
  ]
  for (const make of bad) t.throws(make, { instanceOf: EspalierError }, String(make))
})

test('layers with a weight refuse what is no tensor in the words of their operations', (t) => {
  const dense = [new nn.Linear(2, 3), new nn.Conv1d(2, 3, 1), new nn.Conv2d(2, 3, 1), new nn.ConvTranspose2d(2, 3, 1)]
  const sparse = [nn.SparseLinear.from(new nn.Linear(2, 3)), nn.SparseConv2d.from(new nn.Conv2d(2, 3, 1))]
  const quantised = [new qnn.QuantLinear(2, 3), new qnn.QuantConv2d(2, 3, 1)]
  const all: nn.Module[] = [...dense, ...sparse, ...quantised]
  for (const layer of [...dense.slice(0, 3), ...quantised]) {
    const masked = layer.clone()
    nn.setMask(masked, 'weight', zeros(masked.latentWeight('weight').shape))
    all.push(masked.maskedKernels('sparse'))
  }
  for (const layer of all)
    for (const x of [undefined, null, 3, {}, [1, 2]])
      t.throws(() => layer.forward(x as never), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT', message: /: x is .*, expected a tensor/ }, String(layer))
})
