import test from 'ava'
import fc from 'fast-check'
import { EspalierError, manualSeed, nn, noGrad, ops, optim, qnn, quant, randn, tensor } from '../../lib/index.js'

// Caps on the norm of a neuron's integers: whatever keeps to one fits, and what exceeds it by a unit does not.

const codes = fc.record({ bits: fc.integer({ min: 2, max: 8 }), signed: fc.boolean() })
const width = fc.integer({ min: 10, max: 20 })

test('integers of a norm within the A2Q cap fit, and one unit more breaks it for the neuron that the cap is made for', (t) => {
  fc.assert(
    fc.property(codes, width, fc.array(fc.integer({ min: -127, max: 127 }), { minLength: 1, maxLength: 30 }), ({ bits, signed }, accumulatorBits, signs) => {
      const input = quant.integerRange({ bits, signed })
      const cap = Math.floor(quant.a2qCap({ accumulatorBits, inputBits: bits, inputSigned: signed }))
      // A norm of exactly the cap, in one place or spread over several, of any signs.
      const weights = signs.map((sign) => Math.sign(sign + 0.5) * Math.floor(cap / signs.length))
      weights[0] += Math.sign(weights[0] + 0.5) * (cap - weights.reduce((sum, w) => sum + Math.abs(w), 0))
      t.is(
        weights.reduce((sum, w) => sum + Math.abs(w), 0),
        cap,
      )
      t.true(quant.accumulatorBound(weights, input).bits <= accumulatorBits)
      // The input of largest magnitude under every weight of the worst sign: the negative end of signed codes, the positive of unsigned.
      const worst = [-(cap + 1)]
      const worstBits = quant.accumulatorBound(worst, input).bits
      t.true(worstBits > accumulatorBits || (!signed && -worst[0] * input.max <= 2 ** (accumulatorBits - 1)))
    }),
  )
  t.pass()
})

test('integers with half of the A2Q+ cap on each side fit, and one unit more on a side does not', (t) => {
  fc.assert(
    fc.property(codes, width, ({ bits, signed }, accumulatorBits) => {
      const input = quant.integerRange({ bits, signed })
      const half = quant.a2qPlusCap({ accumulatorBits, inputBits: bits, inputSigned: signed }) / 2
      const whole = Math.floor(half)
      t.true(quant.accumulatorBound([whole, -whole], input).bits <= accumulatorBits)
      const bound = quant.accumulatorBound([whole + 1, -whole - 1], input)
      t.true(bound.max > 2 ** (accumulatorBits - 1) - 1)
      t.true(bound.bits > accumulatorBits)
    }),
  )
  t.pass()
})

test('the exact bound is never above the bound of the norm, nor that above the bound of the data type', (t) => {
  fc.assert(
    fc.property(
      codes,
      fc.integer({ min: 2, max: 8 }),
      fc.infiniteStream(fc.nat()),
      fc.integer({ min: 1, max: 40 }),
      ({ bits, signed }, weightBits, random, fanIn) => {
        const range = quant.integerRange({ bits: weightBits, signed: true })
        const weights = Array.from({ length: fanIn }, () => range.min + ((random.next().value as number) % (range.max - range.min + 1)))
        const norm = weights.reduce((sum, w) => sum + Math.abs(w), 0)
        const types = { fanIn, inputBits: bits, inputSigned: signed, weightBits }
        const exact = quant.accumulatorBound(weights, quant.integerRange({ bits, signed })).bits
        const ofNorm = quant.weightBound(norm, types)
        const ofTypes = Math.ceil(quant.dataTypeBound(types))
        t.true(ofNorm === null ? exact === 1 : exact <= Math.ceil(ofNorm) && Math.ceil(ofNorm) <= ofTypes)
      },
    ),
  )
  t.pass()
})

test('a bias takes its room from the cap, and one too large is refused with the width that would do', (t) => {
  const options = { accumulatorBits: 8, inputBits: 4, inputSigned: false }
  t.is(quant.a2qCap({ ...options, bias: 31 }), 96 / 16)
  const error = t.throws(() => quant.a2qCap({ ...options, bias: 127 }), { instanceOf: EspalierError })
  t.regex(error?.message ?? '', /expected at least 9$/)
  t.notThrows(() => quant.a2qCap({ ...options, accumulatorBits: 9, bias: 127 }))
  for (const accumulatorBits of [1, 33, 7.5, Number.NaN]) t.throws(() => quant.a2qPlusCap({ ...options, accumulatorBits }), { instanceOf: EspalierError })
})

// Layers

interface Setting {
  accumulator: 'a2q' | 'a2q+'
  accumulatorBits: number
  weightBits: number
  bits: number
  signed: boolean
  biasBits: number | undefined
}

const setting: fc.Arbitrary<Setting> = fc.record({
  accumulator: fc.constantFrom('a2q', 'a2q+'),
  accumulatorBits: fc.integer({ min: 6, max: 14 }),
  weightBits: fc.integer({ min: 2, max: 8 }),
  bits: fc.integer({ min: 2, max: 5 }),
  signed: fc.boolean(),
  biasBits: fc.constantFrom(undefined, 4),
})

function layerOf({ bits, signed, ...options }: Setting, inputs: number, outputs: number): nn.Sequential {
  return new nn.Sequential(new qnn.QuantIdentity({ bits, signed, collectSteps: 1 }), new qnn.QuantLinear(inputs, outputs, options))
}

test('an A2Q layer keeps its width at the start, through training and for any weights, g and s', (t) => {
  fc.assert(
    fc.property(setting, fc.double({ min: 0.1, max: 20, noNaN: true }), fc.nat(), (options, size, seed) => {
      manualSeed(seed)
      const model = layerOf(options, 24, 4)
      const layer = model.at(1) as qnn.QuantLinear
      const x = randn([8, 24])
      const verify = (): void => quant.certify(model).verify({ bits: options.accumulatorBits })
      model.forward(x)
      verify()
      const optimiser = new optim.SGD(model.parameters(), { lr: size / 200 })
      for (let step = 0; step < 3; step++) {
        optimiser.zeroGrad()
        ops.add(model.forward(x).square().mean(), quant.a2qPenalty(model).mul(1e-3)).backward()
        optimiser.step()
        verify()
      }
      layer.weight.data.set(randn([4, 24]).mul(size).data as never)
      const { log2G, log2S } = layer.weightQuantiser as quant.A2QQuantiser
      log2G.data.fill(size)
      log2S.data.fill(-size)
      verify()
    }),
    { numRuns: 100 },
  )
  t.pass()
})

test('rounding in float32 costs no unit: equal weights at wide accumulators, and channels that centring leaves nothing of', (t) => {
  for (const accumulator of ['a2q', 'a2q+'] as const)
    for (const accumulatorBits of [8, 16, 24, 26])
      for (const size of [3, 24, 511, 1024, 4096])
        for (const value of [0.1, -0.1, 1 / 3, -1e3]) {
          const layer = new qnn.QuantLinear(size, 2, { weightBits: 8, accumulatorBits, accumulator })
          const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 8, collectSteps: 1 }), layer)
          layer.weight.data.fill(value)
          layer.weight.data.subarray(size).forEach((_, i, row) => {
            row[i] = i % 2 === 0 ? value : -value
          })
          const { log2G, log2S } = layer.weightQuantiser as quant.A2QQuantiser
          log2G.data.fill(40)
          log2S.data.fill(0)
          noGrad(() => model.forward(randn([1, size])))
          quant.certify(model).verify({ bits: accumulatorBits })
        }
  t.pass()
})

test('no input of a tiny A2Q layer overflows: all of them tried, through the layer in integers', (t) => {
  for (const accumulator of ['a2q', 'a2q+'] as const)
    for (const signed of [false, true]) {
      const model = layerOf({ accumulator, accumulatorBits: 6, weightBits: 4, bits: 2, signed, biasBits: 3 }, 5, 3)
      const layer = model.at(1) as qnn.QuantLinear
      layer.weight.data.set(randn([3, 5]).mul(10).data as never)
      ;(layer.weightQuantiser as quant.A2QQuantiser).log2G.data.fill(10)
      const { min, max } = quant.integerRange({ bits: 2, signed })
      const count = (max - min + 1) ** 5
      const inputs = Array.from({ length: count * 5 }, (_, i) => min + (Math.floor(Math.floor(i / 5) / (max - min + 1) ** (i % 5)) % (max - min + 1)))
      const quantiser = (model.at(0) as qnn.QuantIdentity).quantiser
      model.forward(randn([4, 5]))
      model.eval()
      const scale = quantiser.threshold.running.data[0] / (signed ? 2 : 3)
      let [low, high] = [0, 0]
      noGrad(() =>
        quant.inIntegers(
          () =>
            model.forward(
              tensor(
                inputs.map((code) => code * scale),
                [count, 5],
              ),
            ),
          (_, sums) => {
            low = Math.min(...sums)
            high = Math.max(...sums)
          },
        ),
      )
      const certificate = quant.certify(model)
      t.true(low >= -32 && high <= 31)
      t.is(low, certificate.layers[0].min)
      t.is(high, certificate.layers[0].max)
      t.true(high > 0 && low < 0, 'the layer is not empty')
    }
})

test('an A2Q model can be copied, saved and frozen, and refuses what has no cap', (t) => {
  const options: Setting = { accumulator: 'a2q+', accumulatorBits: 9, weightBits: 4, bits: 4, signed: true, biasBits: 4 }
  const model = layerOf(options, 12, 3)
  const x = randn([5, 12])
  t.throws(() => quant.epInit(model), { instanceOf: EspalierError, code: 'STATE' })
  t.throws(() => (model.at(1) as nn.Module).forward(x), { instanceOf: EspalierError, code: 'STATE' })
  model.forward(x)
  quant.epInit(model)
  model.eval()
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
  const fresh = layerOf(options, 12, 3).eval()
  fresh.loadStateDict(model.stateDict())
  t.deepEqual(noGrad(() => fresh.forward(x)).data, y.data)
  quant.freeze(model)
  quant.certify(model).verify({ bits: 9 })
  t.throws(() => quant.a2qPenalty(new nn.Linear(2, 2)), { instanceOf: EspalierError })
  t.throws(() => layerOf({ ...options, accumulatorBits: 3 }, 12, 3), { instanceOf: EspalierError, message: /expected at least/ })
  t.throws(() => new qnn.QuantLinear(2, 2, { accumulatorBits: 40 }), { instanceOf: EspalierError })
  t.throws(() => new qnn.QuantLinear(2, 2, { accumulator: 'a2q' }), { instanceOf: EspalierError })
})

test('l1Projection gives the nearest point of the ball', (t) => {
  const values = fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(values, fc.double({ min: 0, max: 20, noNaN: true }), values, (v, radius, other) => {
      const norm = (point: ArrayLike<number>): number => Array.from(point).reduce((sum, value) => sum + Math.abs(value), 0)
      const distance = (point: ArrayLike<number>): number => v.reduce((sum, value, i) => sum + (value - point[i]) ** 2, 0)
      const projected = quant.l1Projection(v, radius)
      t.true(norm(projected) <= radius * (1 + 1e-12) + 1e-12)
      if (norm(v) <= radius) t.deepEqual(Array.from(projected), v)
      // No other point of the ball is nearer.
      const candidate = v.map((_, i) => other[i % other.length])
      const shrunk = candidate.map((value) => (value * Math.min(1, radius / (norm(candidate) || 1))) as number)
      t.true(distance(projected) <= distance(shrunk) + 1e-9)
    }),
  )
})

// The number of inputs

const neuron = fc.record({
  weight: fc.record({ min: fc.integer({ min: -8, max: 0 }), max: fc.integer({ min: 0, max: 7 }) }),
  input: fc.record({ min: fc.integer({ min: -8, max: 0 }), max: fc.integer({ min: 1, max: 15 }) }),
  bias: fc.integer({ min: 0, max: 10 }),
})

test('safeFanIn is exact: its worst neuron fits, that of one input more does not', (t) => {
  fc.assert(
    fc.property(neuron, fc.integer({ min: 9, max: 16 }), (codes, accumulatorBits) => {
      fc.pre(codes.weight.min < 0 || codes.weight.max > 0)
      const fanIn = quant.safeFanIn(accumulatorBits, codes)
      const worst = (count: number): number => {
        const neurons = [codes.weight.min, codes.weight.max].map((weight) => new Array<number>(count).fill(weight))
        return Math.max(...neurons.flatMap((weights) => [codes.bias, -codes.bias].map((bias) => quant.accumulatorBound(weights, codes.input, bias).bits)))
      }
      t.true(worst(fanIn) <= accumulatorBits)
      t.is(worst(fanIn + 1), quant.fanInWidth(fanIn + 1, codes))
      t.true(worst(fanIn + 1) > accumulatorBits)
    }),
  )
})

test('where Ω is unsafe is found: P = 7, w = a = 2, unsigned; a neuron of Ω inputs overflows there and nowhere it is called safe', (t) => {
  const unsafe = { accumulatorBits: 7, weightBits: 2, inputBits: 2 }
  t.is(quant.layerCap(unsafe), 14)
  t.false(quant.layerCapIsSafe(unsafe, { inputSigned: false }))
  t.true(quant.layerCapIsSafe(unsafe, { inputSigned: true }))
  t.true(quant.layerCapIsSafe(unsafe, { inputSigned: false, narrow: true }))
  for (let accumulatorBits = 4; accumulatorBits <= 16; accumulatorBits++)
    for (const weightBits of [2, 3, 4])
      for (const inputBits of [2, 3, 4])
        for (const inputSigned of [false, true]) {
          const omega = quant.layerCap({ accumulatorBits, weightBits, inputBits })
          const input = quant.integerRange({ bits: inputBits, signed: inputSigned })
          const ends = quant.integerRange({ bits: weightBits, signed: true })
          const bits = Math.max(...[ends.min, ends.max].map((weight) => quant.accumulatorBound(new Array<number>(omega).fill(weight), input).bits))
          t.is(quant.layerCapIsSafe({ accumulatorBits, weightBits, inputBits }, { inputSigned }), bits <= accumulatorBits)
        }
  t.throws(() => quant.safeFanIn(4, { weight: { min: -4, max: 3 }, input: { min: 0, max: 7 } }), { instanceOf: EspalierError, message: /expected at least 6$/ })
})
