import test from 'ava'
import fc from 'fast-check'
import { EspalierError, manualSeed, nn, noGrad, optim, qnn, quant, randn, type Tensor } from '../../lib/index.js'
import { distance, fits, negativePart, positivePart, total } from '../support/budgets.js'

const bias = fc.integer({ min: -20, max: 20 })
const inputs = fc.oneof(
  fc.tuple(fc.integer({ min: 2, max: 6 }), fc.boolean()).map(([bits, signed]) => quant.integerRange({ bits, signed })),
  fc.integer({ min: 1, max: 20 }).map((max) => ({ min: 0, max })),
)

test('weights that use both budgets fit; under unsigned inputs one unit more on a side does not', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 9, max: 16 }), inputs, bias, (accumulatorBits, input, start) => {
      const budgets = quant.signBudgets({ accumulatorBits, input, bias: start })
      const bitsOf = (up: number, down: number): number => quant.accumulatorBound([up, -down], input, start).bits
      t.true(bitsOf(budgets.positive, budgets.negative) <= accumulatorBits)
      t.true(bitsOf(budgets.positive + 1, budgets.negative + 1) > accumulatorBits)
      if (input.min < 0) return
      t.true(bitsOf(budgets.positive + 1, 0) > accumulatorBits)
      t.true(bitsOf(0, budgets.negative + 1) > accumulatorBits)
    }),
  )
})

test('no room for a weight: the error says the least width that has some', (t) => {
  for (const options of [
    { input: { min: 0, max: 15 }, bias: 127 },
    { input: { min: 0, max: 15 }, bias: 0 },
    { input: { min: -8, max: 7 }, bias: -40 },
  ]) {
    const error = t.throws(() => quant.signBudgets({ ...options, accumulatorBits: 4 }), { instanceOf: EspalierError })
    const width = Number(/at least (\d+)$/.exec(error?.message ?? '')?.[1])
    t.throws(() => quant.signBudgets({ ...options, accumulatorBits: width - 1 }), { instanceOf: EspalierError })
    const codes = quant.budgetCodes([9, -9], { ...options, accumulatorBits: width, largest: 1 })
    t.true(codes.some((code) => code !== 0))
  }
})

test('budgetCodes are the nearest of all codes that fit, tried one by one; under signed inputs none more of those wanted fits', (t) => {
  const values = fc.array(
    fc.oneof(
      fc.double({ min: -5, max: 5, noNaN: true }),
      fc.integer({ min: -10, max: 10 }).map((half) => half / 2),
    ),
    { minLength: 1, maxLength: 4 },
  )
  const narrow = fc.oneof(
    fc.integer({ min: 1, max: 5 }).map((max) => ({ min: 0, max })),
    fc.integer({ min: 1, max: 3 }).chain((max) => fc.constantFrom({ min: -max, max }, { min: -max - 1, max })),
  )
  fc.assert(
    fc.property(
      values,
      narrow,
      fc.integer({ min: 4, max: 6 }),
      fc.integer({ min: -3, max: 3 }),
      fc.integer({ min: 1, max: 4 }),
      (v, input, bits, start, largest) => {
        const held = (codes: ArrayLike<number>): boolean => fits({ bits, input, bias: start }, positivePart(codes), negativePart(codes))
        const codes = quant.budgetCodes(v, { accumulatorBits: bits, input, bias: start, largest })
        t.true(held(codes))
        t.true(codes.every((code) => Math.abs(code) <= largest))
        if (input.min === 0 || input.min === -input.max) {
          let nearest = Number.POSITIVE_INFINITY
          for (let choice = 0; choice < (2 * largest + 1) ** v.length; choice++) {
            const point = v.map((_, i) => (Math.floor(choice / (2 * largest + 1) ** i) % (2 * largest + 1)) - largest)
            if (held(point)) nearest = Math.min(nearest, distance(v, point))
          }
          t.true(distance(v, codes) <= nearest + 1e-9)
        }
        for (const [i, code] of codes.entries()) {
          if (Math.abs(code) >= Math.min(largest, Math.ceil(Math.abs(v[i]) - 0.5))) continue
          const more = codes.slice()
          more[i] += Math.sign(v[i])
          t.false(held(more))
        }
      },
    ),
    { numRuns: 200 },
  )
})

test('projectSigns is the nearest point within both budgets, and keeps signs', (t) => {
  const values = fc.array(fc.double({ min: -6, max: 6, noNaN: true }), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(values, fc.integer({ min: 2, max: 5 }), fc.integer({ min: -1, max: 1 }), (v, accumulatorBits, start) => {
      const sum = { accumulatorBits, input: { min: 0, max: 1 }, bias: start }
      const { positive, negative } = quant.signBudgets(sum)
      const projected = quant.projectSigns(v, { ...sum, largest: 3 })
      t.true(positivePart(projected) <= positive + 1e-9 && negativePart(projected) <= negative + 1e-9)
      const clamped = v.map((value) => Math.min(3.49, Math.max(-3.49, value)))
      const up = quant.l1Projection(
        clamped.map((value) => Math.max(0, value)),
        positive,
      )
      const down = quant.l1Projection(
        clamped.map((value) => Math.max(0, -value)),
        negative,
      )
      for (const [i, value] of projected.entries()) t.true(Math.abs(value - (up[i] - down[i])) < 1e-9)
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
  biasBits: fc.constantFrom(undefined, 4, 7),
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
    const expected = Math.LN2 * total(Array.from({ length: 6 }, (_, i) => upstream.data[row * 6 + i] * quantised.data[row * 6 + i]))
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
  const starts = quant.integerLayers(model)[0].bias as Int32Array
  for (const row of [0, 1, 2]) {
    const units = Array.from(layer.weight.data.subarray(row * 40, row * 40 + 40), (value) => value / 2 ** guard.log2S.data[row])
    const { positive, negative } = quant.signBudgets({ accumulatorBits: 8, input: { min: 0, max: 7 }, bias: starts[row] })
    t.true(positivePart(units) <= positive + 1e-4 && negativePart(units) <= negative + 1e-4)
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

test('under a mask, scales start from the open weights alone', (t) => {
  const layer = new qnn.QuantLinear(20, 2, { weightBits: 3, accumulatorBits: 8 })
  const guard = layer.weightQuantiser as quant.BudgetQuantiser
  const mask = nn.fanInMask(layer.weight, 5)
  guard.initialise(layer.weight, mask)
  for (const row of [0, 1]) {
    const open = Array.from(layer.weight.data.subarray(row * 20, row * 20 + 20)).filter((_, i) => mask.data[row * 20 + i] !== 0)
    const power = total(open.map((value) => value ** 2)) / 5
    t.true(Math.abs(2 ** guard.log2S.data[row] - Math.sqrt(power) / (3 / 2.2)) < 1e-6)
  }
})
