import test from 'ava'
import fc from 'fast-check'
import {
  accuracy,
  data,
  EspalierError,
  evaluate,
  fit,
  Generator,
  manualSeed,
  nn,
  noGrad,
  ops,
  optim,
  qnn,
  quant,
  rand,
  randn,
  type Tensor,
  tensor,
  zeros,
} from '../../lib/index.js'
import { Histogram } from '../../lib/quant/postTraining/histogram.js'
import { meanSquare } from '../../lib/quant/postTraining/observers/meanSquare.js'

const farthest = (a: Tensor, b: Tensor): number => Math.max(0, ...a.data.map((value: number, i: number) => Math.abs(value - b.data[i])))
const outputs = (model: nn.Module, x: Tensor): Tensor => noGrad(() => model.eval().forward(x))

/** Statistics that a trained batch norm might have. */
function lived(model: nn.Module): void {
  for (const module of model.modules())
    if (module instanceof nn.BatchNorm1d || module instanceof nn.BatchNorm2d) {
      module.running_mean?.data.set(randn([module.numFeatures]).data as never)
      module.running_var?.data.set(rand([module.numFeatures]).add(0.1).data as never)
      module.weight?.data.set(randn([module.numFeatures]).data as never)
      module.bias?.data.set(randn([module.numFeatures]).data as never)
    }
}

// Batch norms

for (const [name, make, shape] of [
  [
    'convolutions and linear layers',
    () => [new nn.Conv2d(2, 4, 3, { bias: false }), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.Flatten(), new nn.Linear(64, 5), new nn.BatchNorm1d(5)],
    [3, 2, 6, 6],
  ],
  ['groups, and norms without scale', () => [new nn.Conv2d(4, 6, 3, { groups: 2 }), new nn.BatchNorm2d(6, { affine: false })], [2, 4, 5, 5]],
  ['sequences, in sequences', () => [new nn.Sequential(new nn.Conv1d(2, 3, 3)), new nn.Sequential(new nn.BatchNorm1d(3), new nn.Tanh())], [2, 2, 9]],
] as const)
  test(`folded batch norms change nothing: ${name}`, (t) => {
    manualSeed(3)
    const model = new nn.Sequential(...make()).eval()
    lived(model)
    const x = randn([...shape])
    const before = outputs(model, x)
    const folded = quant.foldBatchNorm(model.clone())
    t.true(farthest(outputs(folded, x), before) < 1e-4)
    t.false([...folded.modules()].some((module) => module instanceof nn.BatchNorm1d || module instanceof nn.BatchNorm2d))
    t.deepEqual(outputs(model, x).data, before.data)
  })

test('a folded layer keeps its mask, and an offset that a mask took comes back', (t) => {
  const layer = new nn.Linear(6, 4)
  const model = new nn.Sequential(layer, new nn.BatchNorm1d(4))
  lived(model)
  nn.setMask(layer, 'weight', nn.fanInMask(layer.weight, 2))
  nn.setMask(layer, 'bias', tensor([1, 0, 1, 1]))
  const x = randn([5, 6])
  const before = outputs(model, x)
  quant.foldBatchNorm(model)
  t.true(farthest(outputs(model, x), before) < 1e-5)
  t.not(nn.maskOf(layer, 'weight'), null)
})

test('a quantised layer with scales of its channels can be folded; one whose scale is common cannot', (t) => {
  const make = (perChannel: boolean): nn.Sequential =>
    new nn.Sequential(new qnn.QuantIdentity({ bits: 4, collectSteps: 1 }), new qnn.QuantLinear(6, 4, { weightBits: 4, perChannel }), new nn.BatchNorm1d(4))
  const x = randn([9, 6])
  const model = make(true)
  lived(model)
  for (let step = 0; step < 3; step++) model.forward(x)
  const before = outputs(model, x)
  quant.foldBatchNorm(model)
  t.true(farthest(outputs(model, x), before) < 1e-4)
  const common = make(false)
  lived(common)
  t.throws(() => quant.foldBatchNorm(common), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
})

test('what cannot be folded is refused, and the model is as it was', (t) => {
  class Two extends nn.Module {
    conv = new nn.Linear(3, 3)
    norm = new nn.BatchNorm1d(3)
    other = new nn.BatchNorm1d(4)
    override forward(x: Tensor): Tensor {
      return this.norm.forward(this.conv.forward(x))
    }
  }
  const model = new Two()
  lived(model)
  const x = randn([4, 3])
  const before = outputs(model, x)
  const refused = (pairs?: readonly (readonly [nn.Module, nn.Module])[]): void => {
    t.throws(() => quant.foldBatchNorm(model, { pairs }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  }
  refused()
  refused([[model.conv, model.other]])
  refused([[model.norm, model.conv]])
  refused([[model.conv, new nn.BatchNorm1d(3)]])
  refused([
    [model.conv, model.norm],
    [model.conv, model.norm],
  ])
  refused([[model.conv, null as never]])
  t.deepEqual(outputs(model, x).data, before.data)
  quant.foldBatchNorm(model, { pairs: [[model.conv, model.norm]] })
  t.true(model.norm instanceof nn.Identity)
  t.true(farthest(outputs(model, x), before) < 1e-5)
  const shared = new nn.Linear(3, 3)
  t.throws(() => quant.foldBatchNorm(new nn.Sequential(shared, new nn.BatchNorm1d(3), shared)), { instanceOf: EspalierError })
  t.throws(() => quant.foldBatchNorm(new nn.Sequential(new nn.Linear(3, 3), new nn.BatchNorm1d(3, { trackRunningStats: false }))), {
    instanceOf: EspalierError,
  })
})

// Equalisation

test('equalised layers compute what they did, and each channel has one range on both sides', (t) => {
  manualSeed(5)
  const cases: [nn.Sequential, number[]][] = [
    [new nn.Sequential(new nn.Linear(5, 7), new nn.ReLU(), new nn.Linear(7, 3)), [4, 5]],
    [new nn.Sequential(new nn.Conv2d(2, 4, 3), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Flatten(), new nn.Linear(16, 3)), [2, 2, 6, 6]],
    [new nn.Sequential(new nn.Conv2d(2, 4, 3), new nn.LeakyReLU(), new nn.Conv2d(4, 4, 3, { groups: 2 }), new nn.ReLU(), new nn.Conv2d(4, 2, 1)), [2, 2, 6, 6]],
  ]
  for (const [model, shape] of cases) {
    const first = model.at(0) as nn.Linear
    for (const [i, value] of first.weight.data.entries()) first.weight.data[i] = value * 10 ** ((Math.floor((i * 4) / first.weight.size) % 4) - 1)
    const x = randn(shape)
    const before = outputs(model, x)
    quant.equalise(model)
    const after = outputs(model, x)
    t.true(farthest(after, before) < 1e-4 * Math.max(1, ...before.data.map(Math.abs)))
  }
  const [[{ weight: first }, , { weight: second }]] = [[cases[0][0].at(0), 0, cases[0][0].at(2)] as [nn.Linear, number, nn.Linear]]
  for (let channel = 0; channel < 7; channel++) {
    const out = Math.max(...Array.from({ length: 5 }, (_, j) => Math.abs(first.data[channel * 5 + j])))
    const into = Math.max(...Array.from({ length: 3 }, (_, row) => Math.abs(second.data[row * 7 + channel])))
    t.true(Math.abs(out / into - 1) < 1e-3)
  }
  t.throws(() => quant.equalise(new nn.Sequential(new nn.Linear(2, 2), new nn.Tanh(), new nn.Linear(2, 2))), { instanceOf: EspalierError })
})

test('channels of very different size lose less to a common scale once equalised', (t) => {
  manualSeed(6)
  const model = new nn.Sequential(new nn.Linear(16, 12), new nn.ReLU(), new nn.Linear(12, 4))
  const [first, second] = [model.at(0) as nn.Linear, model.at(2) as nn.Linear]
  first.weight.data.forEach((_, i, values) => {
    values[i] *= i < 16 ? 100 : 1
  })
  second.weight.data.forEach((_, i, values) => {
    values[i] *= i % 12 === 0 ? 0.01 : 1
  })
  const x = randn([64, 16])
  const want = outputs(model, x)
  const off = (equalise: boolean): number =>
    ops.mseLoss(outputs(quant.quantise(model, { data: x, weightBits: 4, perChannel: false, weightObserver: 'min-max', equalise }), x), want).item()
  t.true(off(true) < off(false) / 4)
})

// Observers

const histogramOf = (...batches: ArrayLike<number>[]): Histogram => {
  const seen = new Histogram()
  for (const batch of batches) seen.add(batch)
  return seen
}

/** Numbers as a network has them: in float32. */
const number = (max: number): fc.Arbitrary<number> => fc.float({ min: -max, max, noNaN: true })

test('a histogram keeps what it counts as its range grows, and does not depend on how values are cut into batches by more than a bin', (t) => {
  fc.assert(
    fc.property(fc.array(fc.array(number(100), { maxLength: 20 }), { minLength: 1, maxLength: 5 }), (batches) => {
      const seen = histogramOf(...batches)
      const all = batches.flat()
      t.is(seen.total, all.length)
      t.is(seen.zeros, all.filter((value) => value === 0).length)
      t.is(seen.largest, Math.max(0, ...all.map(Math.abs)))
      const counts = seen.occupied()
      t.is(counts.reduce((sum, { count }) => sum + count, 0) + seen.zeros, all.length)
      t.is(
        seen.signed,
        all.some((value) => value < 0),
      )
      // Every value lies within a bin of some centre.
      for (const value of all) if (value !== 0) t.true(counts.some((bin) => Math.abs(bin.value - value) <= seen.width * (0.5 + 1e-9)))
    }),
  )
})

test('the percentile is that of the sorted magnitudes, to within a bin', (t) => {
  fc.assert(
    fc.property(fc.array(number(10), { minLength: 1, maxLength: 200 }), fc.integer({ min: 1, max: 100 }), (values, percent) => {
      const seen = histogramOf(values)
      const sorted = values.map(Math.abs).sort((a, b) => a - b)
      const exact = sorted[Math.max(0, Math.ceil((percent / 100) * values.length - 1e-9) - 1)]
      const found = quant.percentile(percent).threshold(seen, { bits: 4, signed: true })
      if (exact > 0) t.true(Math.abs(found - exact) <= seen.width * 1.001)
    }),
  )
})

test('the mean square observer finds the end with the least error of all that it may choose', (t) => {
  manualSeed(2)
  for (const codes of [
    { bits: 2, signed: false },
    { bits: 3, signed: true },
    { bits: 4, signed: true, narrow: true },
  ]) {
    const values = Array.from(codes.signed ? randn([400]).data : randn([400]).abs().data)
    const seen = histogramOf(values)
    const { min, max } = quant.integerRange(codes)
    const error = (threshold: number): number => {
      const scale = threshold / quant.codeOfThreshold(codes)
      return values.reduce((sum, value) => sum + (value - scale * Math.min(max, Math.max(min, Math.round(value / scale)))) ** 2, 0)
    }
    const found = error(meanSquare.threshold(seen, codes))
    const best = Math.min(...Array.from({ length: 500 }, (_, i) => error((seen.largest * (i + 1)) / 500)))
    t.true(found <= best * 1.02, `${found} against ${best}`)
    t.true(found < error(quant.observers['min-max'].threshold(seen, codes)))
  }
})

test('the entropy observer keeps all of an even distribution, and cuts off a far outlier', (t) => {
  manualSeed(4)
  const codes = { bits: 8, signed: false }
  const even = histogramOf(rand([20_000]).data)
  t.true(quant.observers.entropy.threshold(even, codes) > 0.95)
  const outlier = histogramOf([...rand([20_000]).data, 50])
  t.true(quant.observers.entropy.threshold(outlier, codes) < 25)
  t.is(quant.observers['min-max'].threshold(outlier, codes), 50)
})

test('nothing but zeros has the threshold 0', (t) => {
  for (const observer of Object.values(quant.observers)) t.is(observer.threshold(histogramOf([0, 0, 0]), { bits: 4, signed: false }), 0)
})

// The whole network

const { train, test: unseen } = data.digits()
const calibration = new data.Subset(
  train,
  Int32Array.from({ length: 300 }, (_, i) => i * 4),
)
const digits = new nn.Sequential(
  new nn.Conv2d(1, 8, 3),
  new nn.BatchNorm2d(8),
  new nn.ReLU(),
  new nn.Conv2d(8, 12, 3, { stride: 2 }),
  new nn.BatchNorm2d(12),
  new nn.ReLU(),
  new nn.Flatten(),
  new nn.Linear(48, 10),
)
const share = async (model: nn.Module): Promise<number> => (await evaluate(model, unseen, { metrics: { accuracy } })).accuracy as number

test.before(async () => {
  manualSeed(7)
  const generator = new Generator(7)
  await fit(digits, {
    train,
    epochs: 8,
    batchSize: 64,
    generator,
    optimizer: new optim.Adam(digits.parameters(), { lr: 0.01 }),
    loss: ops.crossEntropy,
    progress: false,
  })
  digits.eval()
})

test('a network trained in floats keeps its accuracy: 8 bits all of it, 4 bits nearly, by every observer', async (t) => {
  const float = await share(digits)
  t.true(float > 0.94, `float ${float}`)
  const state = digits.stateDict()
  t.true((await share(quant.quantise(digits, { data: calibration }))) > float - 0.01)
  for (const observer of ['min-max', 'percentile', 'mse', 'entropy'] as const)
    t.true((await share(quant.quantise(digits, { data: calibration, observer, weightBits: 4, activationBits: 4 }))) > float - 0.05, observer)
  t.true((await share(quant.quantise(digits, { data: calibration, weightBits: 4, activationBits: 4, perChannel: false, powerOfTwo: true }))) > float - 0.08)
  for (const [name, tensor] of Object.entries(digits.stateDict())) t.deepEqual(tensor.data, state[name].data, 'the float model is unchanged')
})

test('at 2 bits weights that make up for one another are far better than weights rounded by themselves', async (t) => {
  const accuracyOf = (rounding: 'nearest' | 'greedy'): Promise<number> =>
    share(quant.quantise(digits, { data: calibration, weightBits: 2, activationBits: 3, rounding, correctBias: rounding === 'greedy' }))
  t.true((await accuracyOf('greedy')) > (await accuracyOf('nearest')) + 0.02)
})

test('accumulators of 8 bits without training: proved, and most digits still recognised', async (t) => {
  const model = quant.quantise(digits, { data: calibration, weightBits: 3, activationBits: 2, accumulatorBits: 8 })
  quant.certify(model).verify({ bits: 8 })
  t.true((await share(model)) > 0.85)
  // Rounded to the nearest, the same widths need more.
  t.true(quant.certify(quant.quantise(digits, { data: calibration, weightBits: 3, activationBits: 2 })).bits > 8)
})

test('in a numbered sequence quantisers stand in line; elsewhere a pair takes the layer’s place', (t) => {
  const model = quant.quantise(digits, { data: calibration }) as nn.Sequential
  t.deepEqual(
    Array.from(model, (module) => module.constructor.name),
    ['QuantIdentity', 'QuantConv2d', 'Identity', 'QuantReLU', 'QuantConv2d', 'Identity', 'QuantReLU', 'Flatten', 'QuantLinear'],
  )
  class Branches extends nn.Module {
    stem = new nn.Linear(6, 6)
    act = new nn.ReLU()
    left = new nn.Linear(6, 6)
    right = new nn.Linear(6, 4)
    last = new nn.Linear(4, 2)
    override forward(x: Tensor): Tensor {
      const y = this.act.forward(this.stem.forward(x))
      return this.last.forward(ops.tanh(this.right.forward(this.act.forward(this.left.forward(y)).add(y))))
    }
  }
  const custom = new Branches()
  const x = randn([40, 6])
  const twin = quant.quantise(custom, { data: x }) as Branches
  t.true(twin instanceof Branches)
  t.deepEqual(
    Array.from(twin.namedModules(), ([name]) => name).filter((name) => name.endsWith('.layer')),
    ['stem.layer', 'left.layer', 'right.layer', 'last.layer'],
  )
  // The ReLU runs twice, with two ranges: it stays, and each layer quantises its own input, with or without a sign.
  t.true(twin.act instanceof nn.ReLU)
  const signed = (name: string): boolean => (twin.getModule(`${name}.input`) as qnn.QuantIdentity).quantiser.range.min < 0
  t.deepEqual(['stem', 'left', 'right', 'last'].map(signed), [true, false, false, true])
  t.true(farthest(outputs(twin, x), outputs(custom, x)) < 0.05)
  quant.certify(twin).verify()
})

test('widths of single layers, floats that stay, masks, and layers without bias', (t) => {
  const x = randn([60, 8])
  const model = new nn.Sequential(new nn.Linear(8, 12, { bias: false }), new nn.ReLU(), new nn.Linear(12, 6), new nn.ReLU(), new nn.Linear(6, 2))
  nn.setMask(model.at(2) as nn.Linear, 'weight', nn.fanInMask((model.at(2) as nn.Linear).weight, 3))
  const twin = quant.quantise(model, {
    data: x,
    weightBits: 6,
    activationBits: 5,
    layers: { 2: { weightBits: 3, activationBits: 2 } },
    only: (name) => name !== '4',
  }) as nn.Sequential
  const codes = (at: number): quant.IntegerRange => {
    const { min, max } = (twin.at(at) as nn.Linear).effective('weight').quantisation as NonNullable<Tensor['quantisation']>
    return { min, max }
  }
  t.deepEqual(
    [codes(1), codes(3)],
    [
      { min: -31, max: 31 },
      { min: -3, max: 3 },
    ],
  )
  t.is((twin.at(2) as qnn.QuantReLU).quantiser.range.max, 3)
  t.is(twin.at(5)?.constructor, nn.Linear)
  t.not((twin.at(1) as nn.Linear).bias, null)
  t.true(quant.certify(twin).layers[1].maxActive <= 3)
  const bare = quant.quantise(new nn.Sequential(new nn.Linear(8, 2, { bias: false })), { data: x, correctBias: false }) as nn.Sequential
  t.is((bare.at(1) as nn.Linear).bias, null)
})

test('the same call makes the same layers, into which a saved state is read', (t) => {
  const options = { data: calibration, weightBits: 4, activationBits: 3, accumulatorBits: 9 }
  const model = quant.quantise(digits, options)
  const again = quant.quantise(digits.clone(), {
    ...options,
    data: new data.Subset(
      train,
      Int32Array.from({ length: 50 }, (_, i) => i),
    ),
  })
  const x = (train as data.TensorDataset).x
  t.notDeepEqual(outputs(again, x).data, outputs(model, x).data)
  again.loadStateDict(model.stateDict())
  t.deepEqual(outputs(again, x).data, outputs(model, x).data)
  quant.certify(again).verify({ bits: 9 })
})

test('a network of doubles becomes one of doubles', (t) => {
  const model = new nn.Sequential(new nn.Linear(8, 6), new nn.ReLU(), new nn.Linear(6, 2)).to('float64')
  const x = randn([30, 8]).to('float64')
  for (const rounding of ['nearest', 'greedy'] as const) {
    const twin = quant.quantise(model, { data: x, rounding })
    t.true(twin.parameters().every(({ dtype }) => dtype === 'float64'))
    const y = outputs(twin, x)
    t.is(y.dtype, 'float64')
    t.true(farthest(y, outputs(model, x)) < 0.05)
  }
})

test('bias correction takes away what rounding does to the mean', (t) => {
  manualSeed(8)
  const model = new nn.Sequential(new nn.Linear(20, 16), new nn.ReLU(), new nn.Linear(16, 5))
  const x = rand([200, 20])
  const means = (y: Tensor): Tensor => y.mean({ dim: [0] })
  const want = means(outputs(model, x))
  const off = (correctBias: boolean): number =>
    farthest(means(outputs(quant.quantise(model, { data: x, weightBits: 2, activationBits: 3, correctBias }), x)), want)
  t.true(off(true) < 1e-4)
  t.true(off(false) > 1e-2)
})

test('data that cannot be used is refused, and what was given is as before', (t) => {
  const model = new nn.Sequential(new nn.Linear(4, 3), new nn.ReLU(), new nn.Linear(3, 2))
  const x = randn([10, 4])
  const before = model.stateDict()
  const refused = (options: Partial<quant.QuantiseOptions>, message: RegExp): void => {
    t.throws(() => quant.quantise(model, { data: x, ...options }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT', message })
  }
  const bad = x.copy()
  bad.data[5] = Number.NaN
  refused({ data: bad }, /calibration data has the value NaN at element 5/)
  refused({ data: [x, bad] }, /NaN/)
  refused({ data: [] }, /empty/)
  refused({ data: zeros([0, 4]) }, /empty/)
  refused({ data: 3 as never }, /calibration data is 3/)
  refused({ weightBits: 1 }, /weightBits is 1, expected a whole number from 2 to 8/)
  refused({ weightBits: 9 }, /weightBits/)
  refused({ activationBits: 0 }, /activationBits is 0/)
  refused({ activationBits: 9 }, /activationBits/)
  refused({ accumulatorBits: 1 }, /accumulatorBits is 1/)
  refused({ accumulatorBits: 33 }, /accumulatorBits/)
  refused({ layers: { 7: { weightBits: 3 } } }, /layers has 7, expected one of 0, 2/)
  refused({ layers: { 0: { weightBits: 12 } } }, /weightBits of 0 is 12/)
  refused({ observer: 'median' as never }, /expected one of min-max, percentile, mse, entropy/)
  refused({ tile: 4 }, /tile/)
  refused({ rounding: 'up' as never }, /rounding/)
  const huge = model.clone()
  ;(huge.at(0) as nn.Linear).weight.data[0] = Number.POSITIVE_INFINITY
  t.throws(() => quant.quantise(huge, { data: x }), { instanceOf: EspalierError, message: /finite/ })
  t.throws(() => quant.quantise(new nn.Sequential(new nn.Embedding(3, 4), new nn.Linear(4, 2)), { data: x }), {
    instanceOf: EspalierError,
    message: /Embedding/,
  })
  t.throws(() => quant.quantise(new nn.ReLU(), { data: x }), { instanceOf: EspalierError, message: /no layer to quantise/ })
  t.throws(() => quant.quantise(quant.quantise(model, { data: x }), { data: x }), { instanceOf: EspalierError, message: /quantised already/ })
  for (const [name, tensor] of Object.entries(model.stateDict())) t.deepEqual(tensor.data, before[name].data)
})
