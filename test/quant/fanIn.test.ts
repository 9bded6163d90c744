import test from 'ava'
import fc from 'fast-check'
import { data, EspalierError, fit, manualSeed, nn, noGrad, ops, optim, prune, qnn, quant, randn, tensor } from '../../lib/index.js'

interface Setting {
  accumulatorBits: number
  weightBits: number
  weightNarrow: boolean
  perChannel: boolean
  bits: number
  signed: boolean
  biasBits: number | undefined
}

const setting: fc.Arbitrary<Setting> = fc.record({
  accumulatorBits: fc.integer({ min: 10, max: 15 }),
  weightBits: fc.integer({ min: 2, max: 5 }),
  weightNarrow: fc.boolean(),
  perChannel: fc.boolean(),
  bits: fc.integer({ min: 2, max: 4 }),
  signed: fc.boolean(),
  biasBits: fc.constantFrom(undefined, 4),
})

const layerOf = ({ bits, signed, ...options }: Setting & { fanIn?: number }, inputs: number, outputs: number): nn.Sequential =>
  new nn.Sequential(new qnn.QuantIdentity({ bits, signed, collectSteps: 1 }), new qnn.QuantLinear(inputs, outputs, { ...options, accumulator: 'fan-in' }))

const layerIn = (model: nn.Sequential): qnn.QuantLinear => model.at(1) as qnn.QuantLinear
const latentIn = (model: nn.Sequential): nn.Parameter => layerIn(model).latentWeight('weight')

/** Entries of each row that are not 0. */
function active(values: ArrayLike<number>, rows: number): number[] {
  const inputs = values.length / rows
  return Array.from({ length: rows }, (_, row) => Array.from(values).filter((value, i) => Math.floor(i / inputs) === row && value !== 0).length)
}

test('a layer keeps its width at the start, through training and refreshes, and for any weights, witnesses included', (t) => {
  fc.assert(
    fc.property(setting, fc.nat(), (options, seed) => {
      manualSeed(seed)
      const model = layerOf(options, 40, 3)
      const x = randn([8, 40])
      const verify = (): void => quant.certify(model).verify({ bits: options.accumulatorBits })
      model.forward(x)
      verify()
      const optimiser = new optim.Adam(model.parameters(), { lr: 0.05 })
      for (let step = 0; step < 4; step++) {
        optimiser.zeroGrad()
        model.forward(x).square().mean().backward()
        optimiser.step()
        if (step % 2 === 1) quant.refreshFanIn(model)
        verify()
      }
      latentIn(model).data.set(randn([3, 40]).mul(50).data as never)
      verify()
      const certificate = quant.certify(model)
      const [{ weights, bias, input, neurons, name }] = certificate.layers
      for (const [neuron, row] of weights.entries())
        for (const end of ['min', 'max'] as const) {
          const sum = certificate.witness(name, neuron, end).reduce((total, code, i) => total + code * row[i], bias?.[neuron] ?? 0)
          t.is(sum, neurons[neuron][end])
          t.true(input.min <= 0)
        }
    }),
    { numRuns: 60 },
  )
})

test('the limit is the largest that the exact bound allows: the worst weights fill the register, one input more overflows', (t) => {
  fc.assert(
    fc.property(setting, (options) => {
      const model = layerOf(options, 2000, 2)
      noGrad(() => model.forward(randn([2, 2000])))
      const { input, bias } = quant.integerLayers(model)[0]
      const weight = quant.integerRange({ bits: options.weightBits, signed: true, narrow: options.weightNarrow })
      const start = bias === null ? { min: 0, max: 0 } : { min: -8, max: 7 }
      const limit = quant.safeFanIn(options.accumulatorBits, { weight, input, bias: start })
      t.is(quant.certify(model).layers[0].maxActive <= limit, true)
      t.deepEqual(active(nn.maskOf(layerIn(model), 'weight')?.data ?? [], 2), [Math.min(2000, limit), Math.min(2000, limit)])
      const bitsOf = (count: number): number =>
        Math.max(
          ...[weight.min, weight.max].flatMap((value) =>
            [start.min, start.max].map((from) => quant.accumulatorBound(new Array<number>(count).fill(value), input, from).bits),
          ),
        )
      t.true(bitsOf(limit) <= options.accumulatorBits)
      t.true(bitsOf(limit + 1) > options.accumulatorBits)
    }),
    { numRuns: 40 },
  )
})

test('where Ω is unsafe the limit is below it: P = 7, w = a = 2, unsigned inputs, full-range weights', (t) => {
  const model = layerOf({ accumulatorBits: 7, weightBits: 2, weightNarrow: false, perChannel: false, bits: 2, signed: false, biasBits: undefined }, 30, 1)
  // Every weight at the lower end of the range.
  latentIn(model).data.fill(-1)
  noGrad(() => model.forward(randn([4, 30])))
  t.is(quant.layerCap({ accumulatorBits: 7, weightBits: 2, inputBits: 2 }), 14)
  t.is(quant.certify(model).layers[0].maxActive, 10)
  quant.certify(model).verify({ bits: 7 })
  // Ω itself as the limit: nothing keeps the width then, and the certificate finds the neuron.
  const capped = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 2, signed: false }),
    new qnn.QuantLinear(30, 1, { weightBits: 2, weightNarrow: false, fanIn: 14, bias: false }),
  )
  latentIn(capped).data.fill(-1)
  noGrad(() => capped.forward(randn([4, 30])))
  const certificate = quant.certify(capped)
  t.is(certificate.layers[0].min, -84)
  t.throws(() => certificate.verify({ bits: 7 }), { instanceOf: EspalierError, message: /neuron 0.*by 20; 8 bits would do$/ })
})

test('the mask stands still between refreshes; a refresh takes the strongest of all, masked ones included', (t) => {
  const model = layerOf(
    { accumulatorBits: 8, weightBits: 3, weightNarrow: true, perChannel: false, bits: 3, signed: false, biasBits: undefined, fanIn: 3 },
    8,
    1,
  )
  const weight = latentIn(model)
  weight.data.set([8, 7, 6, 5, 4, 3, 2, 1])
  const open = (): number[] => Array.from(layerIn(model).effective('weight').data, (value) => Number(value !== 0))
  model.forward(randn([4, 8]))
  quant.refreshFanIn(model)
  t.deepEqual(open(), [1, 1, 1, 0, 0, 0, 0, 0])
  // Masked weights learn on: the gradient is that of the weight itself.
  const upstream = tensor([[1, 2, 3, 4, 5, 6, 7, 8]])
  layerIn(model).effective('weight').backward(upstream)
  t.deepEqual(Array.from(weight.grad?.data ?? []).slice(3), [4, 5, 6, 7, 8])
  weight.data.set([1, 2, 3, 4, 5, 6, 7, 8])
  t.deepEqual(open(), [1, 1, 1, 0, 0, 0, 0, 0])
  t.is(quant.refreshFanIn(model), 3)
  t.deepEqual(open(), [0, 0, 0, 0, 0, 1, 1, 1])
})

test('fanIn alone and beside every accumulator method limits each neuron, and the width still holds', (t) => {
  for (const accumulator of [undefined, 'budget', 'a2q', 'a2q+', 'fan-in'] as const) {
    const options = accumulator === undefined ? {} : { accumulator, accumulatorBits: 9 }
    const model = new nn.Sequential(
      new qnn.QuantIdentity({ bits: 3, signed: false, collectSteps: 1 }),
      new qnn.QuantConv2d(2, 4, 3, { weightBits: 3, fanIn: 5, biasBits: 4, ...options }),
    )
    const optimiser = new optim.Adam(model.parameters(), { lr: 0.05 })
    for (let step = 0; step < 3; step++) {
      optimiser.zeroGrad()
      model
        .forward(randn([4, 2, 5, 5]))
        .square()
        .mean()
        .backward()
      optimiser.step()
      if (accumulator === 'budget') quant.projectBudgets(model)
      if (accumulator?.startsWith('a2q')) quant.epInit(model)
      quant.refreshFanIn(model)
    }
    const certificate = quant.certify(quant.freeze(model))
    t.true(certificate.layers[0].maxActive <= 5)
    if (accumulator !== undefined) certificate.verify({ bits: 9 })
  }
})

test('A2Q+ centres what a mask lets through, and leaves the rest 0, however far the weights lie to one side', (t) => {
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 3, signed: false, collectSteps: 1 }),
    new qnn.QuantLinear(12, 3, { weightBits: 4, accumulatorBits: 8, accumulator: 'a2q+', fanIn: 4 }),
  )
  const weight = latentIn(model)
  weight.data.set(randn([3, 12]).add(3).data as never)
  quant.refreshFanIn(model)
  noGrad(() => model.forward(randn([4, 12])))
  const [{ weights }] = quant.certify(model).layers
  const open = nn.maskOf(layerIn(model), 'weight')?.data ?? []
  for (const [i, code] of weights.flatMap((row) => Array.from(row)).entries()) if (open[i] === 0) t.is(code, 0)
  for (const row of weights) t.true(row.some((code) => code > 0) && row.some((code) => code < 0))
  const frozen = quant.certify(quant.freeze(model))
  frozen.verify({ bits: 8 })
  t.deepEqual(frozen.layers[0].weights, weights)
})

test('masks that are too wide, loaded, lifted or set by a pruner, are drawn anew before they are used', (t) => {
  const options: Setting = { accumulatorBits: 10, weightBits: 3, weightNarrow: true, perChannel: false, bits: 3, signed: false, biasBits: 4 }
  const x = randn([4, 200])
  const wide = layerOf({ ...options, accumulatorBits: 12 }, 200, 3)
  const model = layerOf(options, 200, 3)
  for (const one of [wide, model]) noGrad(() => one.forward(x))
  model.loadStateDict(wide.stateDict())
  quant.certify(model).verify({ bits: 10 })
  const most = quant.certify(model).layers[0].maxActive
  prune.togglePruning(model, false)
  latentIn(model).data.set(randn([3, 200]).data as never)
  noGrad(() => model.forward(x))
  quant.certify(model).verify({ bits: 10 })
  prune.togglePruning(model, true, { active: most - 4 })
  noGrad(() => model.forward(x))
  t.true(quant.certify(model).layers[0].maxActive <= most - 4, 'a stricter mask stays')
  quant.certify(quant.freeze(model)).verify({ bits: 10 })
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
})

test('saved and loaded, before it ran and after', (t) => {
  const options: Setting = { accumulatorBits: 9, weightBits: 3, weightNarrow: true, perChannel: true, bits: 3, signed: true, biasBits: 4 }
  const model = layerOf(options, 60, 3)
  const x = randn([5, 60])
  model.forward(x)
  const y = noGrad(() => model.eval().forward(x))
  const fresh = layerOf(options, 60, 3).eval()
  fresh.loadStateDict(model.stateDict())
  t.deepEqual(noGrad(() => fresh.forward(x)).data, y.data)
})

test('what cannot be kept is refused, with the smallest width that would do', (t) => {
  const options: Setting = { accumulatorBits: 6, weightBits: 3, weightNarrow: true, perChannel: false, bits: 4, signed: false, biasBits: undefined }
  const widthOf = (error: Error | undefined): number => Number(/at least (\d+)$/.exec(error?.message ?? '')?.[1])
  // Not one input fits: 3 · 15 = 45 needs 7 bits.
  t.is(widthOf(t.throws(() => noGrad(() => layerOf(options, 20, 2).forward(randn([2, 20]))), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })), 7)
  // No room beside the bias, whatever the inputs: −128 − 3.
  t.is(widthOf(t.throws(() => layerOf({ ...options, accumulatorBits: 8, biasBits: 8 }, 20, 2), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })), 9)
  t.throws(() => layerIn(layerOf(options, 20, 2)).forward(randn([2, 20])), { instanceOf: EspalierError, code: 'STATE' })
  t.throws(() => new qnn.QuantLinear(4, 2, { fanIn: 2, weightBits: 1 }), { instanceOf: EspalierError, message: /under a limited fan-in is 1/ })
  t.throws(() => new qnn.QuantLinear(4, 2, { fanIn: 0 }), { instanceOf: EspalierError })
  t.throws(() => new qnn.QuantLinear(4, 2, { fanIn: 1.5 }), { instanceOf: EspalierError })
  t.throws(() => new qnn.QuantLinear(4, 2, { accumulator: 'fan-in' }), { instanceOf: EspalierError })
  t.throws(() => quant.refreshFanIn(new nn.Linear(2, 2)), { instanceOf: EspalierError })
  t.throws(() => quant.refreshingFanIn({ every: 0 }), { instanceOf: EspalierError })
})

test('as a callback of fit: on the asked epochs or steps, until the last', async (t) => {
  for (const [schedule, expected] of [
    [{ every: 2 }, 2],
    [{ every: 1, until: 3 }, 3],
    [{ every: 3, of: 'step' as const }, 3],
  ] as const) {
    const model = layerOf({ accumulatorBits: 9, weightBits: 2, weightNarrow: true, perChannel: false, bits: 2, signed: true, biasBits: undefined }, 12, 2)
    const masks = new Set<unknown>()
    await fit(model, {
      train: new data.TensorDataset(randn([10, 12]), randn([10, 2])),
      batchSize: 5,
      epochs: 5,
      optimizer: new optim.Adam(model.parameters()),
      loss: ops.mseLoss,
      progress: false,
      callbacks: [quant.refreshingFanIn(schedule), { onStepEnd: () => void masks.add(nn.maskOf(layerIn(model), 'weight')) }],
    })
    // A refresh puts a mask of its own there; the one after the last step of an epoch is seen with the next.
    t.is(masks.size, expected + 1)
  }
})
