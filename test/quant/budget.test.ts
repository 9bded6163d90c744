import test from 'ava'
import fc from 'fast-check'
import { EspalierError, manualSeed, nn, noGrad, optim, qnn, quant, randn, type Tensor } from '../../lib/index.js'

const sum = (values: ArrayLike<number>): number => Array.from(values).reduce((total, value) => total + value, 0)
const positive = (values: ArrayLike<number>): number => sum(Array.from(values, (value) => Math.max(0, value)))
const negative = (values: ArrayLike<number>): number => sum(Array.from(values, (value) => Math.max(0, -value)))
const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number => sum(Array.from(a, (value, i) => (value - b[i]) ** 2))

const bias = fc.tuple(fc.integer({ min: -20, max: 0 }), fc.integer({ min: 0, max: 20 })).map(([min, max]) => ({ min, max }))

test('weights that use both budgets fit; under unsigned inputs one unit more on a side does not', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 9, max: 16 }), fc.integer({ min: 2, max: 6 }), fc.boolean(), bias, (accumulatorBits, bits, signed, range) => {
      const input = quant.integerRange({ bits, signed })
      const budgets = quant.signBudgets({ accumulatorBits, input, bias: range })
      const bitsOf = (up: number, down: number): number =>
        Math.max(...[range.min, range.max].map((start) => quant.accumulatorBound([up, -down], input, start).bits))
      t.true(bitsOf(budgets.positive, budgets.negative) <= accumulatorBits)
      t.true(bitsOf(budgets.positive + 1, budgets.negative + 1) > accumulatorBits)
      if (signed) return
      t.true(bitsOf(budgets.positive + 1, 0) > accumulatorBits)
      t.true(bitsOf(0, budgets.negative + 1) > accumulatorBits)
    }),
  )
})

test('no room for a weight: the error says the least width that has some', (t) => {
  const options = { input: { min: 0, max: 15 }, bias: { min: -128, max: 127 } }
  const error = t.throws(() => quant.signBudgets({ ...options, accumulatorBits: 8 }), { instanceOf: EspalierError })
  const width = Number(/at least (\d+)$/.exec(error?.message ?? '')?.[1])
  t.throws(() => quant.signBudgets({ ...options, accumulatorBits: width - 1 }), { instanceOf: EspalierError })
  const { positive: up, negative: down } = quant.signBudgets({ ...options, accumulatorBits: width })
  t.true(up + down > 0)
})

test('integerProjection is the nearest of all whole points within the budget', (t) => {
  const magnitudes = fc.array(
    fc.oneof(
      fc.double({ min: 0, max: 5, noNaN: true }),
      fc.integer({ min: 0, max: 10 }).map((half) => half / 2),
    ),
    { minLength: 1, maxLength: 4 },
  )
  fc.assert(
    fc.property(magnitudes, fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 4 }), (values, budget, largest) => {
      const projected = quant.integerProjection(values, budget, largest)
      t.true(sum(projected) <= budget)
      t.true(projected.every((units) => units >= 0 && units <= largest))
      let nearest = Number.POSITIVE_INFINITY
      for (let code = 0; code < (largest + 1) ** values.length; code++) {
        const point = values.map((_, i) => Math.floor(code / (largest + 1) ** i) % (largest + 1))
        if (sum(point) <= budget) nearest = Math.min(nearest, distance(values, point))
      }
      t.true(distance(values, projected) <= nearest + 1e-9)
    }),
  )
})

test('projectSigns is the nearest point within both budgets, and keeps signs', (t) => {
  const values = fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(values, fc.nat({ max: 8 }), fc.nat({ max: 8 }), (v, up, down) => {
      const projected = quant.projectSigns(v, { positive: up, negative: down }, 3)
      t.true(positive(projected) <= up + 1e-9 && negative(projected) <= down + 1e-9)
      const clamped = v.map((value) => Math.min(3.49, Math.max(-3.49, value)))
      const apart = [
        quant.l1Projection(
          clamped.map((value) => Math.max(0, value)),
          up,
        ),
        quant.l1Projection(
          clamped.map((value) => Math.max(0, -value)),
          down,
        ),
      ]
      for (const [i, value] of projected.entries()) t.true(Math.abs(value - (apart[0][i] - apart[1][i])) < 1e-12)
    }),
  )
})

// Layers

interface Setting {
  accumulatorBits: number
  weightBits: number
  bits: number
  signed: boolean
  biasBits: number | undefined
}

const setting: fc.Arbitrary<Setting> = fc.record({
  accumulatorBits: fc.integer({ min: 7, max: 14 }),
  weightBits: fc.integer({ min: 2, max: 6 }),
  bits: fc.integer({ min: 2, max: 5 }),
  signed: fc.boolean(),
  biasBits: fc.constantFrom(undefined, 4),
})

const layerOf = ({ bits, signed, ...options }: Setting, inputs: number, outputs: number): nn.Sequential =>
  new nn.Sequential(new qnn.QuantIdentity({ bits, signed, collectSteps: 1 }), new qnn.QuantLinear(inputs, outputs, { ...options, accumulator: 'budget' }))

test('a budgeted layer keeps its width at the start, through training, projected or not, and for any weights', (t) => {
  fc.assert(
    fc.property(setting, fc.boolean(), fc.nat(), (options, projected, seed) => {
      manualSeed(seed)
      const model = layerOf(options, 24, 4)
      const { weight } = model.at(1) as qnn.QuantLinear
      const x = randn([8, 24])
      const verify = (): void => quant.certify(model).verify({ bits: options.accumulatorBits })
      model.forward(x)
      verify()
      const optimiser = new optim.Adam(model.parameters(), { lr: 0.05 })
      for (let step = 0; step < 3; step++) {
        optimiser.zeroGrad()
        model.forward(x).square().mean().backward()
        optimiser.step()
        if (projected) quant.projectBudgets(model)
        verify()
      }
      weight.data.set(randn([4, 24]).mul(50).data as never)
      verify()
    }),
    { numRuns: 60 },
  )
  t.pass()
})

test('no input of a tiny budgeted layer overflows, all of them tried; the certificate’s ends are reached', (t) => {
  for (const signed of [false, true]) {
    const model = layerOf({ accumulatorBits: 7, weightBits: 4, bits: 2, signed, biasBits: 3 }, 5, 3)
    const { weight } = model.at(1) as qnn.QuantLinear
    weight.data.set([3, -2, 1, -1, 2, -3, 3, -3, 3, -3, 0.1, 0.2, -0.3, 0.4, -0.5])
    model.forward(randn([4, 5]))
    const [{ weights, bias: start, input }] = quant.integerLayers(model)
    const [layer] = quant.certify(model).layers
    const seen: number[] = []
    const choices = input.max - input.min + 1
    for (let code = 0; code < choices ** 5; code++)
      for (let row = 0; row < 3; row++) {
        let total = start?.[row] ?? 0
        seen.push(total)
        for (let i = 0; i < 5; i++) {
          total += weights[row * 5 + i] * (input.min + (Math.floor(code / choices ** i) % choices))
          seen.push(total)
        }
      }
    const [low, high] = [Math.min(...seen), Math.max(...seen)]
    t.true(low >= -64 && high <= 63)
    t.deepEqual([low, high], [layer.min, layer.max])
    t.true(weights.some((value) => value > 0) && weights.some((value) => value < 0))
  }
})

test('the gradient passes straight through to the weight; the scale’s is that of its codes', (t) => {
  const model = layerOf({ accumulatorBits: 8, weightBits: 3, bits: 3, signed: false, biasBits: undefined }, 6, 2)
  const layer = model.at(1) as qnn.QuantLinear
  model.forward(randn([4, 6]))
  const upstream = randn([2, 6])
  const quantised = layer.effective('weight')
  quantised.backward(upstream)
  const { log2S } = layer.weightQuantiser as quant.BudgetQuantiser
  for (const [i, value] of (layer.weight.grad as Tensor).data.entries()) t.true(Math.abs(value - upstream.data[i]) < 1e-6)
  for (const row of [0, 1]) {
    const expected = Math.LN2 * sum(Array.from({ length: 6 }, (_, i) => upstream.data[row * 6 + i] * quantised.data[row * 6 + i]))
    t.true(Math.abs((log2S.grad as Tensor).data[row] - expected) < 1e-5)
  }
})

test('projection after a step brings the sums of latent weights inside the budgets, and a model can be copied and saved', (t) => {
  const options: Setting = { accumulatorBits: 8, weightBits: 3, bits: 3, signed: false, biasBits: 4 }
  const model = layerOf(options, 40, 3)
  const layer = model.at(1) as qnn.QuantLinear
  const x = randn([5, 40])
  t.throws(() => quant.projectBudgets(model), { instanceOf: EspalierError, code: 'STATE' })
  model.forward(x)
  layer.weight.data.set(randn([3, 40]).mul(5).data as never)
  quant.projectBudgets(model)
  const guard = layer.weightQuantiser as quant.BudgetQuantiser
  for (const row of [0, 1, 2]) {
    const units = Array.from(layer.weight.data.subarray(row * 40, row * 40 + 40), (value) => value / 2 ** guard.log2S.data[row])
    t.true(positive(units) <= guard.budgets.positive + 1e-4 && negative(units) <= guard.budgets.negative + 1e-4)
  }
  model.eval()
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
  const fresh = layerOf(options, 40, 3).eval()
  fresh.loadStateDict(model.stateDict())
  t.deepEqual(noGrad(() => fresh.forward(x)).data, y.data)
  t.throws(() => new qnn.QuantLinear(2, 2, { accumulatorBits: 8, accumulator: 'none' as never }), { instanceOf: EspalierError, message: /budget, a2q, a2q\+/ })
})

test('weights under a mask use no budget and keep their latent values', (t) => {
  const model = layerOf({ accumulatorBits: 7, weightBits: 3, bits: 3, signed: false, biasBits: undefined }, 20, 2)
  const layer = model.at(1) as qnn.QuantLinear
  model.forward(randn([4, 20]))
  layer.weight.data.set(randn([2, 20]).mul(5).data as never)
  const mask = nn.fanInMask(layer.weight, 2)
  const twin = model.clone()
  ;(twin.at(1) as qnn.QuantLinear).weight.data.forEach((_, i, values) => {
    values[i] *= mask.data[i]
  })
  nn.setMask(layer, 'weight', mask)
  const before = layer.latentWeight('weight').data.slice()
  quant.projectBudgets(model)
  quant.projectBudgets(twin)
  const after = layer.latentWeight('weight').data
  const expected = (twin.at(1) as qnn.QuantLinear).weight.data
  for (const [i, value] of after.entries()) t.is(value, mask.data[i] === 0 ? before[i] : expected[i])
})
