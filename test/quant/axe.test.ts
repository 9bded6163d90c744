import test from 'ava'
import fc from 'fast-check'
import { EspalierError, manualSeed, nn, noGrad, qnn, quant, rand, randn, type Tensor } from '../../lib/index.js'
import { neuronCodes, neuronOf } from '../../lib/quant/postTraining/greedy.js'
import { Moments } from '../../lib/quant/postTraining/moments.js'

interface Setting {
  bits: number
  signed: boolean
  weightBits: number
  perChannel: boolean
  weightNarrow: boolean
  biasBits: number | undefined
  bias: boolean
}

const setting: fc.Arbitrary<Setting> = fc.record({
  bits: fc.integer({ min: 2, max: 4 }),
  signed: fc.boolean(),
  weightBits: fc.integer({ min: 2, max: 6 }),
  perChannel: fc.boolean(),
  weightNarrow: fc.boolean(),
  biasBits: fc.constantFrom(undefined, 8),
  bias: fc.boolean(),
})

const networkOf = ({ bits, signed, ...options }: Setting): nn.Sequential =>
  new nn.Sequential(
    new qnn.QuantIdentity({ bits, signed, collectSteps: 1 }),
    new qnn.QuantConv2d(2, 4, 3, { ...options, groups: 2 }),
    new qnn.QuantReLU({ bits, collectSteps: 1 }),
    new nn.Flatten(),
    new qnn.QuantLinear(4 * 9, 3, options),
  )

/** A network that has found its scales. */
function ready(options: Setting): { model: nn.Sequential; x: Tensor } {
  const model = networkOf(options)
  const x = randn([12, 2, 5, 5])
  for (let step = 0; step < 3; step++) model.forward(x)
  return { model: model.eval(), x }
}

const rowsOf = (codes: readonly (readonly number[])[], tile: number): number[][] =>
  codes.flatMap((row) => Array.from({ length: Math.ceil(row.length / tile) }, (_, i) => row.slice(i * tile, (i + 1) * tile)))

test('every network fits its accumulators afterwards, tile by tile, and says so truly', (t) => {
  fc.assert(
    fc.property(setting, fc.integer({ min: 8, max: 14 }), fc.constantFrom(undefined, 4, 7), fc.nat(), (options, accumulatorBits, tile, seed) => {
      manualSeed(seed)
      const { model, x } = ready(options)
      const { layers, certificate } = quant.axe(model, { data: x, accumulatorBits, tile })
      certificate.verify(tile === undefined ? { bits: accumulatorBits } : {})
      for (const [i, { weights, input, bits }] of certificate.layers.entries()) {
        t.is(layers[i].sumBits, bits)
        if (tile === undefined) t.is(layers[i].bits, bits)
        else {
          // A tile's sum starts at 0: the bias is added outside.
          const widest = Math.max(
            ...rowsOf(
              weights.map((row) => Array.from(row)),
              tile,
            ).map((row) => quant.accumulatorBound(row, input).bits),
          )
          t.true(widest <= accumulatorBits)
          t.is(layers[i].bits, widest)
        }
        t.true(layers[i].error >= 0 && layers[i].error < 1.5)
      }
      // The model computes with these codes: its sums in integers are those of its forward pass.
      const want = noGrad(() => model.forward(x))
      const got = noGrad(() => quant.inIntegers(() => model.forward(x)))
      for (const [j, value] of want.data.entries()) t.true(Math.abs(value - got.data[j]) <= 1e-4 * Math.max(1, Math.abs(value)))
    }),
    { numRuns: 25 },
  )
})

test('without need the network stays as near as its codes allow; the narrower the accumulator, the farther off', (t) => {
  manualSeed(11)
  const options: Setting = { bits: 4, signed: false, weightBits: 6, perChannel: true, weightNarrow: true, biasBits: undefined, bias: true }
  const { model, x } = ready(options)
  const errors = [20, 12, 10, 8].map((accumulatorBits) => quant.axe(model.clone(), { data: x, accumulatorBits }).layers[0].error)
  t.true(errors[0] < 0.01, String(errors))
  for (const [i, error] of errors.entries()) if (i > 0) t.true(error > errors[i - 1] * 0.9, String(errors))
})

test('choosing again brings every neuron nearer, never farther', (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), fc.integer({ min: 5, max: 9 }), (seed, signed, accumulatorBits) => {
      manualSeed(seed)
      const rows = randn([40, 10])
      const moments = new Moments(10)
      moments.rows = 40
      for (let r = 0; r < 40; r++)
        for (let i = 0; i < 10; i++)
          for (let j = 0; j < 10; j++)
            for (const name of ['seen', 'cross', 'meant'] as const) moments[name][i * 10 + j] += rows.data[r * 10 + i] * rows.data[r * 10 + j]
      const target = Float64Array.from(randn([10]).data)
      const input = quant.integerRange({ bits: 2, signed })
      const room = { up: 2 ** (accumulatorBits - 1) - 1, down: 2 ** (accumulatorBits - 1) }
      const scale = 0.3
      const neuron = neuronCodes(neuronOf(target, moments), { scale, codes: { min: -7, max: 7 }, input, room, tile: 10 })
      /** The same by its definition: squares of what the sums of all rows are off. */
      const off = (): number => {
        let sum = 0
        for (let r = 0; r < 40; r++) {
          let lack = 0
          for (let i = 0; i < 10; i++) lack += (target[i] - scale * neuron.codes[i]) * rows.data[r * 10 + i]
          sum += lack ** 2
        }
        return sum
      }
      let before = off()
      t.true(Math.abs(neuron.error - before) < 1e-6 * (1 + before))
      for (let sweep = 0; sweep < 6 && neuron.improve(); sweep++) {
        const now = off()
        t.true(now <= before * (1 + 1e-9) + 1e-9)
        t.true(Math.abs(neuron.error - now) < 1e-6 * (1 + now))
        before = now
        const bound = quant.accumulatorBound(neuron.codes, input)
        t.true(bound.bits <= accumulatorBits)
        t.deepEqual({ up: 2 ** (accumulatorBits - 1) - 1 - bound.max, down: 2 ** (accumulatorBits - 1) + bound.min }, { ...neuron.left[0] })
      }
    }),
    { numRuns: 60 },
  )
})

test('masked weights stay away', (t) => {
  manualSeed(12)
  const { model, x } = ready({ bits: 3, signed: false, weightBits: 4, perChannel: true, weightNarrow: true, biasBits: 6, bias: true })
  const layer = model.at(4) as qnn.QuantLinear
  const mask = nn.fanInMask(layer.weight, 5)
  nn.setMask(layer, 'weight', mask)
  const { certificate } = quant.axe(model, { data: x, accumulatorBits: 9 })
  for (const [i, code] of certificate.layers[1].weights.flatMap((row) => Array.from(row)).entries()) if (mask.data[i] === 0) t.is(code, 0)
})

test('layers trained within another accumulator can be brought into a narrower one; a width for each layer', (t) => {
  manualSeed(13)
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 3, signed: false, collectSteps: 1 }),
    new qnn.QuantLinear(30, 12, { weightBits: 4, accumulatorBits: 12 }),
    new qnn.QuantReLU({ bits: 3, collectSteps: 1 }),
    new qnn.QuantLinear(12, 4, { weightBits: 4, accumulatorBits: 12, accumulator: 'a2q+' }),
  )
  const x = rand([40, 30])
  for (let step = 0; step < 3; step++) model.forward(x)
  const { certificate } = quant.axe(model.eval(), { data: x, accumulatorBits: (name) => (name === '1' ? 8 : 7) })
  t.true(certificate.layers[0].bits <= 8 && certificate.layers[1].bits <= 7)
  // Saved beside it, the certificate is that of a copy too.
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
  quant.certify(quant.freeze(model)).verify({ bits: 8 })
})

test('a width without room is refused with the smallest that has some, and nothing is changed', (t) => {
  manualSeed(14)
  const { model, x } = ready({ bits: 4, signed: false, weightBits: 3, perChannel: true, weightNarrow: true, biasBits: undefined, bias: true })
  const before = model.stateDict()
  const names = Array.from(model.namedModules(), ([name]) => name)
  // One unit of weight under inputs of 15 needs −16 … 15: 5 bits.
  const error = t.throws(() => quant.axe(model, { data: x, accumulatorBits: 4 }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  t.regex(error?.message ?? '', /at least 5$/)
  const bad = x.copy()
  bad.data[0] = Number.NaN
  for (const options of [
    { data: bad, accumulatorBits: 8 },
    { data: [], accumulatorBits: 8 },
    { data: x, accumulatorBits: 40 },
    { data: x, accumulatorBits: 8, tile: 0 },
    { data: x, accumulatorBits: (name: string) => (name === '4' ? 1 : 8) },
  ])
    t.throws(() => quant.axe(model, options), { instanceOf: EspalierError })
  t.throws(() => quant.axe(new nn.Linear(2, 2), { data: x, accumulatorBits: 8 }), { instanceOf: EspalierError })
  t.throws(() => quant.axe(new nn.Sequential(new qnn.QuantLinear(25, 2)), { data: randn([3, 25]), accumulatorBits: 8 }), {
    instanceOf: EspalierError,
    code: 'STATE',
  })
  t.deepEqual(
    Array.from(model.namedModules(), ([name]) => name),
    names,
  )
  for (const [name, tensor] of Object.entries(model.stateDict())) t.deepEqual(tensor.data, before[name].data)
})

test('a bias that does not fit is refused with a width in which it does', (t) => {
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 2, signed: false, collectSteps: 1 }),
    new qnn.QuantLinear(4, 1, { weightBits: 2, biasBits: 12 }),
  )
  const layer = model.at(1) as qnn.QuantLinear
  layer.weight.data.set([0.1, -0.1, 0.1, 0.1])
  layer.bias?.data.fill(30)
  const x = rand([20, 4])
  for (let step = 0; step < 3; step++) model.forward(x)
  const error = t.throws(() => quant.axe(model.eval(), { data: x, accumulatorBits: 8 }), { instanceOf: EspalierError, message: /beside a bias/ })
  const width = Number(/at least (\d+)$/.exec(error?.message ?? '')?.[1])
  quant.axe(model, { data: x, accumulatorBits: width }).certificate.verify({ bits: width })
})

test('scales that are powers of two stay such, and one for the whole tensor stays one', (t) => {
  manualSeed(15)
  for (const [options, scales] of [
    [{ powerOfTwo: true, perChannel: true }, 6],
    [{ powerOfTwo: true }, 1],
    [{}, 1],
  ] as const) {
    const model = new nn.Sequential(
      new qnn.QuantIdentity({ bits: 3, signed: false, collectSteps: 1 }),
      new qnn.QuantLinear(20, 6, { weightBits: 4, ...options }),
    )
    const x = rand([50, 20])
    for (let step = 0; step < 3; step++) model.forward(x)
    quant.axe(model.eval(), { data: x, accumulatorBits: 9 }).certificate.verify({ bits: 9 })
    const { scale } = (model.at(1) as qnn.QuantLinear).effective('weight').quantisation as NonNullable<Tensor['quantisation']>
    const different = new Set(scale.data)
    t.true(different.size <= scales)
    if ('powerOfTwo' in options) for (const value of different) t.true(Number.isInteger(Math.log2(value)))
  }
})

test('weights that are whole numbers already stay such', (t) => {
  manualSeed(16)
  const layer = new qnn.QuantLinear(20, 4, { weightBits: 4 })
  const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 3, signed: false, collectSteps: 1 }), layer)
  layer.weight.data.set(Float32Array.from(randn([4, 20]).mul(3).data, (value) => Math.max(-7, Math.min(7, Math.round(value)))))
  layer.weight.data[0] = 7
  const x = rand([50, 20])
  for (let step = 0; step < 3; step++) model.forward(x)
  const { certificate } = quant.axe(model.eval(), { data: x, accumulatorBits: 8 })
  t.deepEqual(
    Array.from(layer.effective('weight').data),
    certificate.layers[0].weights.flatMap((row) => Array.from(row)),
  )
  certificate.verify({ bits: 8 })
})
