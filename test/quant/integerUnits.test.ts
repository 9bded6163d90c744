import test from 'ava'
import fc from 'fast-check'
import { EspalierError, Generator, manualSeed, nn, noGrad, ops, optim, qnn, quant, rand, randn, type Tensor, tensor } from '../../lib/index.js'

interface Setting {
  accumulatorBits: number
  weightBits: number
  codes: number
}

const network = ({ codes, ...widths }: Setting): nn.Sequential =>
  new nn.Sequential(
    new qnn.Codes({ max: codes }),
    new qnn.IntegerConv2d(1, 4, 3, widths),
    new qnn.Requantise(4, { max: codes }),
    new qnn.IntegerConv2d(4, 6, 2, { ...widths, stride: 2 }),
    new qnn.Requantise(6, { max: codes }),
    new nn.Flatten(),
    new qnn.IntegerLinear(24, 5, widths),
    new qnn.Rescale(5),
  )

/** Some steps of training. */
function train(model: nn.Module, x: Tensor, steps: number, lr = 0.1): void {
  const optimiser = new optim.Adam(quant.integerGroups(model, lr), { betas: [0.9, 0.99] })
  const labels = tensor(Int32Array.from({ length: x.shape[0] }, (_, i) => i % 5))
  for (let step = 0; step < steps; step++) {
    optimiser.zeroGrad()
    ops.crossEntropy(model.forward(x), labels).backward()
    optimiser.step()
    quant.projectBudgets(model)
  }
}

const setting: fc.Arbitrary<Setting> = fc.record({
  accumulatorBits: fc.integer({ min: 4, max: 12 }),
  weightBits: fc.integer({ min: 2, max: 5 }),
  codes: fc.integer({ min: 1, max: 7 }),
})

test('every sum stays inside its register: at the start, through training, with any weights and biases', (t) => {
  fc.assert(
    fc.property(setting, fc.nat(), (options, seed) => {
      manualSeed(seed)
      const model = network(options)
      const x = rand([8, 1, 6, 6])
      const verify = (): void => quant.certify(model).verify({ bits: options.accumulatorBits })
      quant.startIntegers(model, x)
      verify()
      train(model, x, 3)
      verify()
      for (const layer of model.modules())
        if (layer instanceof qnn.IntegerConv2d || layer instanceof qnn.IntegerLinear) {
          layer.weight.data.set(randn(layer.weight.shape).mul(30).data as never)
          ;(layer.bias as Tensor).data.set(randn([(layer.bias as Tensor).size]).mul(500).data as never)
        }
      model.forward(x)
      verify()
    }),
    { numRuns: 40 },
  )
  t.pass()
})

test('training, evaluation and integers compute the same sums, and the next codes follow from them', (t) => {
  manualSeed(3)
  const model = network({ accumulatorBits: 8, weightBits: 3, codes: 5 })
  const x = rand([16, 1, 6, 6])
  quant.startIntegers(model, x)
  train(model, x, 5)
  const learning = model.forward(x)
  model.eval()
  const plain = noGrad(() => model.forward(x))
  const sums: Float64Array[] = []
  const exact = noGrad(() =>
    quant.inIntegers(
      () => model.forward(x),
      (_, values) => sums.push(Float64Array.from(values)),
    ),
  )
  t.deepEqual(learning.data, exact.data)
  t.deepEqual(plain.data, exact.data)

  // By hand, from the certificate's integers and the multipliers alone: the last layer's sums of the first sample.
  const before = noGrad(() => [0, 1, 2, 3].reduce((y, i) => (model.at(i) as nn.Module).forward(y), x))
  const multipliers = Array.from((model.at(4) as qnn.Requantise).logMultiplier.data, (value) => Math.fround(Math.exp(value)))
  const next = Array.from(before.data, (sum, i) => {
    const value = Math.fround(multipliers[Math.floor(i / 4) % 6] * sum)
    const down = Math.floor(value)
    const nearest = value - down === 0.5 ? down + (down % 2 === 0 ? 0 : 1) : Math.round(value)
    return Math.min(5, Math.max(0, nearest))
  })
  const { layers } = quant.certify(model)
  const last = layers[2]
  for (let sample = 0; sample < 16; sample++)
    for (let neuron = 0; neuron < 5; neuron++) {
      const products = Array.from(last.weights[neuron]).map((weight, i) => weight * next[sample * 24 + i])
      t.is(sums[2][sample * 5 + neuron], (last.bias?.[neuron] ?? 0) + products.reduce((sum, product) => sum + product))
    }
})

test('no codes at all can overflow a tiny layer, all of them tried; its certificate’s ends are reached', (t) => {
  manualSeed(4)
  const model = new nn.Sequential(new qnn.Codes({ max: 3 }), new qnn.IntegerLinear(4, 6, { accumulatorBits: 5, weightBits: 3 }))
  const x = tensor(Float32Array.from({ length: 256 * 4 }, (_, i) => (Math.floor(Math.floor(i / 4) / 4 ** (i % 4)) % 4) / 3)).reshape([256, 4])
  const layer = model.at(1) as qnn.IntegerLinear
  ;(layer.bias as Tensor).data.set([11, -11, 5, -5, 0.4, 2.6])
  const sums = noGrad(() => model.forward(x))
  const range = quant.rangeOf(sums.data)
  const [{ min, max }] = quant.certify(model).layers
  t.deepEqual(range, { min, max })
  t.true(min >= -16 && max <= 15)
})

test('witnesses reach the ends exactly, random codes stay inside, one bit less is refused', (t) => {
  fc.assert(
    fc.property(setting, fc.nat(), ({ accumulatorBits, weightBits, codes }, seed) => {
      manualSeed(seed)
      const model = new nn.Sequential(new qnn.Codes({ max: codes }), new qnn.IntegerLinear(9, 4, { accumulatorBits, weightBits }))
      quant.startIntegers(model, rand([50, 9]))
      const certificate = quant.certify(model.eval())
      const [layer] = certificate.layers
      const sumsOf = (x: ArrayLike<number>): Tensor => noGrad(() => model.forward(tensor(Float32Array.from(x, (code) => code / codes)).reshape([-1, 9])))
      for (const [neuron, { min, max }] of layer.neurons.entries()) {
        t.is(sumsOf(certificate.witness(layer.name, neuron, 'max')).data[neuron], max)
        t.is(sumsOf(certificate.witness(layer.name, neuron, 'min')).data[neuron], min)
      }
      const random = sumsOf(Float32Array.from(rand([40 * 9]).data, (value) => Math.floor(value * (codes + 1))))
      for (const [i, sum] of random.data.entries()) t.true(sum >= layer.neurons[i % 4].min && sum <= layer.neurons[i % 4].max)
      certificate.verify({ bits: accumulatorBits })
      t.throws(() => certificate.verify({ bits: certificate.bits - 1 }), { instanceOf: EspalierError })
    }),
    { numRuns: 40 },
  )
})

test('a bias takes what it needs from one budget and gives it to the other', (t) => {
  manualSeed(5)
  const model = new nn.Sequential(new qnn.Codes({ max: 3 }), new qnn.IntegerLinear(40, 3, { accumulatorBits: 7, weightBits: 3 }))
  const layer = model.at(1) as qnn.IntegerLinear
  layer.weight.data.set(randn([3, 40]).mul(20).data as never)
  ;(layer.bias as Tensor).data.set([30, 0, -30])
  model.forward(rand([2, 40]))
  const [{ weights }] = quant.integerLayers(model)
  for (const [row, bias] of [30, 0, -30].entries()) {
    const own = Array.from(weights.subarray(row * 40, row * 40 + 40))
    const positive = own.reduce((sum, weight) => sum + Math.max(0, weight), 0)
    const negative = own.reduce((sum, weight) => sum + Math.max(0, -weight), 0)
    t.deepEqual([positive, negative], [Math.floor((63 - bias) / 3), Math.floor((64 + bias) / 3)])
  }
})

test('startIntegers brings sums above 0 and to the range of the codes, and leaves no hook behind', (t) => {
  manualSeed(6)
  const model = network({ accumulatorBits: 12, weightBits: 4, codes: 7 })
  const x = rand([64, 1, 6, 6])
  quant.startIntegers(model, x)
  const sums = noGrad(() => new nn.Sequential(model.at(0) as nn.Module, model.at(1) as nn.Module).forward(x))
  const deviations = ops.std(sums, { dim: [0, 2, 3], correction: 0 }).data
  const means = ops.mean(sums, { dim: [0, 2, 3] }).data
  const multipliers = Array.from((model.at(2) as qnn.Requantise).logMultiplier.data, Math.exp)
  for (let channel = 0; channel < 4; channel++) {
    t.true(Math.abs(means[channel] - 0.4 * deviations[channel]) <= 0.6)
    t.true(Math.abs(multipliers[channel] * deviations[channel] - 0.6 * 7) < 1e-3)
  }
  const before = JSON.stringify(Object.values(model.stateDict()).map((value) => Array.from(value.data)))
  noGrad(() => model.forward(rand([64, 1, 6, 6])))
  t.is(JSON.stringify(Object.values(model.stateDict()).map((value) => Array.from(value.data))), before)
  t.throws(() => quant.startIntegers(new nn.Sequential(new nn.Linear(2, 2)), rand([4, 2])), { instanceOf: EspalierError, message: /no integer layer/ })
})

test('a model can be saved, loaded and copied; a generator fixes its start', (t) => {
  const make = (seed: number): nn.Sequential =>
    new nn.Sequential(
      new qnn.Codes({ max: 3 }),
      new qnn.IntegerLinear(12, 4, { accumulatorBits: 6, generator: new Generator(seed) }),
      new qnn.Requantise(4, { max: 3 }),
      new qnn.IntegerLinear(4, 2, { accumulatorBits: 6, bias: false, generator: new Generator(seed) }),
      new qnn.Rescale(2),
    )
  const [model, twin, other] = [make(1), make(1), make(2)]
  t.deepEqual((model.at(1) as qnn.IntegerLinear).weight.data, (twin.at(1) as qnn.IntegerLinear).weight.data)
  const x = rand([5, 12])
  quant.startIntegers(model, x)
  model.eval()
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
  other.eval().loadStateDict(model.stateDict())
  t.deepEqual(noGrad(() => other.forward(x)).data, y.data)
})

test('what does not make sense is refused', (t) => {
  const error = { instanceOf: EspalierError }
  t.throws(() => new qnn.IntegerLinear(2, 2, { accumulatorBits: 1 }), { ...error, message: /accumulatorBits/ })
  t.throws(() => new qnn.IntegerLinear(2, 2, { accumulatorBits: 8, weightBits: 9 }), { ...error, message: /bits/ })
  t.throws(() => new qnn.Codes({ max: 256 }), { ...error, message: /max/ })
  t.throws(() => new qnn.Requantise(4, { max: 0 }), { ...error, message: /max/ })
  t.throws(() => new qnn.Requantise(4, { max: 3 }).forward(rand([2, 5])), { ...error, code: 'SHAPE_MISMATCH' })
  t.throws(() => new qnn.IntegerLinear(2, 2, { accumulatorBits: 8 }).forward(rand([1, 2])), { ...error, code: 'STATE' })
  const otherScale = new nn.Sequential(new qnn.QuantIdentity({ bits: 4, signed: false }), new qnn.IntegerLinear(2, 2, { accumulatorBits: 8 }))
  t.throws(() => otherScale.forward(rand([1, 2])), { ...error, code: 'STATE', message: /expected whole numbers/ })
  const tooNarrow = new nn.Sequential(new qnn.Codes({ max: 15 }), new qnn.IntegerLinear(2, 2, { accumulatorBits: 4 }))
  t.throws(() => tooNarrow.forward(rand([1, 2])), { ...error, message: /no room for a weight.*at least 5/ })
})
