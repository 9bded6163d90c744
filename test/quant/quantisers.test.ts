import test from 'ava'
import fc from 'fast-check'
import { EspalierError, nn, noGrad, ops, qnn, quant, randn, type Tensor, tensor } from '../../lib/index.js'

type Mark = NonNullable<Tensor['quantisation']>
const markOf = (y: Tensor): Mark => y.quantisation as Mark

const values = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 12 })
const upstreamOf = (n: number): number[] => Array.from({ length: n }, (_, i) => Math.cos(3 * i) + 0.1)
const near = (a: number, b: number): boolean => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b))

/** What a quantiser gives in float64 for x and a scale that is a parameter, with both gradients. */
function run(parts: Omit<quant.QuantiserParts, 'scale'>, x: number[], scale: number): { y: number[]; gradX: number[]; gradScale: number } {
  const input = tensor(x, { dtype: 'float64', requiresGrad: true })
  const parameter = tensor(scale, { dtype: 'float64', requiresGrad: true })
  const y = new quant.Quantiser({ ...parts, scale: { powerOfTwo: false, follows: false, of: () => parameter } }).forward(input)
  y.backward(tensor(upstreamOf(x.length), { dtype: 'float64' }))
  return { y: y.toArray() as number[], gradX: input.grad?.toArray() as number[], gradScale: parameter.grad?.item() as number }
}

const wholeRoundings: Record<string, { rounding: quant.roundings.Rounding; round: (x: number) => number }> = {
  'half even': {
    rounding: quant.roundings.halfEven,
    round: (x) => {
      const below = Math.floor(x)
      return x - below === 0.5 ? below + (below % 2 === 0 ? 0 : 1) : Math.round(x)
    },
  },
  'toward zero': { rounding: quant.roundings.towardZero, round: Math.trunc },
  down: { rounding: quant.roundings.down, round: Math.floor },
}

for (const [name, { rounding, round }] of Object.entries(wholeRoundings))
  for (const gradient of ['clamped', 'straight-through', 'rectified'] as const)
    test(`${name}, ${gradient}: codes on the grid and in range, gradients as written out`, (t) => {
      const widths = fc.record({
        bits: fc.integer({ min: 2, max: 8 }),
        signed: gradient === 'rectified' ? fc.constant(false) : fc.boolean(),
        narrow: fc.boolean(),
      })
      fc.assert(
        fc.property(values, widths, fc.double({ min: 0.05, max: 1, noNaN: true }), (x, options, scale) => {
          const codes = quant.codes.integer(options)
          const { y, gradX, gradScale } = run({ codes, rounding, gradient }, x, scale)
          let expectedScale = 0
          for (const [i, g] of upstreamOf(x.length).entries()) {
            const seen = gradient === 'rectified' ? Math.max(0, x[i]) : x[i]
            const rounded = round(seen / scale)
            const code = Math.min(codes.max, Math.max(codes.min, rounded))
            const passes = gradient === 'straight-through' || (rounded === code && (gradient === 'clamped' || x[i] > 0))
            t.true(near(y[i], code * scale), `y[${i}] of ${x[i]}`)
            t.true(near(gradX[i], passes ? g : 0), `gradX[${i}] of ${x[i]}`)
            expectedScale += g * (code - (gradient === 'straight-through' || rounded === code ? seen / scale : 0))
          }
          t.true(Math.abs(gradScale - expectedScale) < 1e-7)
        }),
      )
    })

test('bipolar: the sign, 1 of 0; the gradient times the scale, clamped to |x| ≤ scale', (t) => {
  const x = [-2, -0.3, 0, 0.3, 2]
  const straight = run({ codes: quant.codes.bipolar, rounding: quant.roundings.bipolar, gradient: 'straight-through' }, x, 0.5)
  t.deepEqual(straight.y, [-0.5, -0.5, 0.5, 0.5, 0.5])
  const upstream = upstreamOf(x.length)
  t.true(straight.gradX.every((g, i) => near(g, upstream[i] * 0.5)))
  t.true(
    near(
      straight.gradScale,
      upstream.reduce((sum, g, i) => sum + g * (x[i] < 0 ? -1 : 1), 0),
    ),
  )
  const clamped = run({ codes: quant.codes.bipolar, rounding: quant.roundings.bipolar }, x, 0.5)
  t.deepEqual(clamped.y, straight.y)
  t.true(clamped.gradX.every((g, i) => near(g, Math.abs(x[i]) <= 0.5 ? upstream[i] * 0.5 : 0)))
})

test('ternary: the sign above the threshold, else 0, which receives no gradient', (t) => {
  const x = [-0.6, -0.25, 0.2, 0.26, 1]
  const { y, gradX } = run({ codes: quant.codes.ternary, rounding: quant.roundings.ternary(0.5), gradient: 'straight-through' }, x, 0.5)
  t.deepEqual(
    y.map((value) => value + 0),
    [-0.5, 0, 0, 0.5, 0.5],
  )
  t.true(gradX.every((g, i) => near(g, y[i] === 0 ? 0 : 0.5 * upstreamOf(5)[i])))
})

test('one step or several: a scale from the largest weight gives the same', (t) => {
  fc.assert(
    fc.property(values, fc.boolean(), fc.boolean(), (x, perChannel, powerOfTwo) => {
      const run = (rounding: quant.roundings.Rounding): { y: unknown; grad: number[] } => {
        const w = tensor([...x, ...x.map((value) => value / 3)], [2, x.length], { dtype: 'float64', requiresGrad: true })
        const y = new quant.Quantiser({
          codes: quant.codes.integer({ bits: 4, signed: true, narrow: true }),
          scale: quant.scales.ofStatistic(quant.statistics.largest, { axis: perChannel ? 0 : null, powerOfTwo }),
          rounding,
          gradient: 'straight-through',
        }).forward(w)
        y.mul(tensor(upstreamOf(2 * x.length), [2, x.length], { dtype: 'float64' }))
          .add(markOf(y).scale.mul(0.25))
          .sum()
          .backward()
        return { y: y.toArray(), grad: Array.from(w.grad?.data ?? []) }
      }
      const [atOnce, inSteps] = [run(quant.roundings.halfEven), run((...args) => quant.roundings.halfEven(...args))]
      t.deepEqual(atOnce.y, inSteps.y)
      t.true(atOnce.grad.every((g, i) => Math.abs(g - inSteps.grad[i]) < 1e-9))
    }),
  )
})

test('one step or several: a learned scale gives the same, over all its life', (t) => {
  const make = (rounding: quant.roundings.Rounding): quant.Quantiser =>
    new quant.Quantiser({
      codes: quant.codes.integer({ bits: 3, signed: true }),
      scale: new quant.scales.Learned(quant.statistics.percentile(99), { collectSteps: 2 }),
      rounding,
    }).to('float64')
  const [atOnce, inSteps] = [make(quant.roundings.halfEven), make((...args) => quant.roundings.halfEven(...args))]
  for (let step = 0; step < 5; step++) {
    const x = randn([30]).to('float64')
    const results = [atOnce, inSteps].map((quantiser) => {
      const input = tensor(x.data, [30], { dtype: 'float64', requiresGrad: true })
      const y = quantiser.train(step !== 4).forward(input)
      y.mul(y).sum().add(markOf(y).scale).backward()
      const { value } = quantiser.scale as quant.scales.Learned
      const result = [y.toArray(), Array.from(input.grad?.data ?? []), value.grad === null ? null : value.grad.item()] as const
      value.dropGrad()
      return result
    })
    t.deepEqual(results[0][0], results[1][0])
    t.true(results[0][1].every((g, i) => Math.abs(g - results[1][1][i]) < 1e-9))
    t.true(Math.abs((results[0][2] ?? 0) - (results[1][2] ?? 0)) < 1e-9)
  }
})

test('a zero point: codes begin where the values do, and 0 is a code', (t) => {
  const asymmetric = new qnn.QuantIdentity({ bits: 4, asymmetric: true, collectSteps: 2 })
  const x = tensor([-1, -0.2, 0, 0.5, 2])
  for (let step = 0; step < 5; step++) {
    const y = asymmetric.train(step < 4).forward(x)
    const { scale, min, max, zeroPoint } = markOf(y)
    t.true(Math.abs(scale.item() - 3 / 15) < 1e-6)
    t.is(zeroPoint, 5)
    t.deepEqual([min, max], [-5, 10])
    t.is(y.data[2], 0)
    for (const [i, value] of y.data.entries()) t.true(Math.abs(value - x.data[i]) <= scale.item() / 2 + 1e-6)
  }
  t.is(asymmetric.quantise(x).signed, false)
  t.deepEqual(asymmetric.quantise(x).int().toArray(), [0, 4, 5, 8, 15])
})

test('the gradient of a zero point is that of the difference quotient where codes are cut off', (t) => {
  const x = tensor([-3, -0.2, 0.4, 5], { dtype: 'float64', requiresGrad: true })
  const zero = tensor(2, { dtype: 'float64', requiresGrad: true })
  const y = ops.fakeQuant(x, tensor(0.25, { dtype: 'float64' }), { min: 0, max: 7, gradient: 'clamped' }, zero)
  t.deepEqual(y.toArray(), [-0.5, -0.25, 0.5, 1.25])
  y.backward(tensor([1, 10, 100, 1000], { dtype: 'float64' }))
  t.deepEqual(x.grad?.toArray(), [0, 10, 100, 0])
  t.is(zero.grad?.item(), -0.25 * 1001)
})

test('a certificate over inputs with a zero point holds for all of them, and no less would do', (t) => {
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 2, asymmetric: true, collectSteps: 1 }),
    new qnn.QuantLinear(2, 2, { weightBits: 3, biasBits: 6 }),
  )
  for (let step = 0; step < 3; step++) model.forward(tensor([[-0.4, 1]]))
  const [layer] = quant.certify(model.eval()).layers
  t.deepEqual(layer.input, { min: -1, max: 2 })
  const [low, high] = [Array<number>(2).fill(0), Array<number>(2).fill(0)]
  for (const a of [-3, -0.4, 0.2, 0.6, 3])
    for (const b of [-3, -0.4, 0.2, 0.6, 3])
      noGrad(() =>
        quant.inIntegers(
          () => model.forward(tensor([[a, b]])),
          (_, sums) => {
            for (const [i, sum] of sums.entries()) {
              low[i] = Math.min(low[i], sum)
              high[i] = Math.max(high[i], sum)
            }
          },
        ),
      )
  for (const [i, neuron] of layer.neurons.entries()) t.deepEqual([Math.min(0, neuron.min), Math.max(0, neuron.max)], [low[i], high[i]])
})

for (const [name, options] of Object.entries({
  sign: { weightBits: 1 },
  'sign, one scale': { weightBits: 1, weightScale: 0.1 },
  ternary: { weightBits: 2, weightRounding: 'ternary', perChannel: true },
  'toward zero': { weightBits: 4, weightRounding: 'toward-zero' },
  learned: { weightBits: 4, weightScale: 'learned', perChannel: true },
  'learned, powers of two': { weightBits: 3, weightScale: 'learned', powerOfTwo: true },
  '8 bits, full range': { weightBits: 8, weightNarrow: false },
} satisfies Record<string, quant.WeightQuantiserOptions>))
  test(`weights by ${name}: trained, copied, saved, proved`, (t) => {
    const make = (): nn.Sequential =>
      new nn.Sequential(new qnn.QuantIdentity({ bits: 3, collectSteps: 1 }), new qnn.QuantConv1d(2, 3, 3, { biasBits: 8, ...options }))
    const model = make()
    for (let step = 0; step < 3; step++) {
      const loss = model
        .forward(randn([4, 2, 7]))
        .square()
        .mean()
      model.zeroGrad()
      loss.backward()
      for (const parameter of model.parameters()) {
        const { grad } = parameter
        // The threshold of the first step is the batch's own.
        if (step > 0) t.not(grad, null)
        if (grad !== null) for (let i = 0; i < parameter.size; i++) parameter.data[i] -= 0.05 * grad.data[i]
      }
    }
    const weight = (model.eval().at(1) as nn.Module).effective('weight')
    const { scale, min, max } = markOf(weight)
    for (const [i, value] of weight.data.entries()) {
      const code = value / scale.data[scale.size === 1 ? 0 : Math.floor(i / 6)]
      t.true(Math.abs(code - Math.round(code)) < 1e-4 && Math.round(code) >= min && Math.round(code) <= max)
      if (options.weightBits === 1) t.is(Math.abs(Math.round(code)), 1)
    }
    const x = randn([2, 2, 7])
    const y = noGrad(() => model.forward(x))
    t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
    const fresh = make().eval()
    fresh.loadStateDict(model.stateDict())
    t.deepEqual(noGrad(() => fresh.forward(x)).data, y.data)
    quant.certify(model).verify()
    const exact = noGrad(() => quant.inIntegers(() => model.forward(x)))
    for (let i = 0; i < y.size; i++) t.true(Math.abs(y.data[i] - exact.data[i]) <= 1e-5)
  })

test('a copy of a layer learns a scale of its own', (t) => {
  const layer = new qnn.QuantLinear(3, 2, { weightBits: 3, weightScale: 'learned' })
  const copy = layer.clone()
  const before = Array.from(layer.effective('weight').data)
  for (const [name, parameter] of copy.namedParameters()) if (name.endsWith('scale.value')) parameter.data[0] *= 3
  t.notDeepEqual(Array.from(copy.effective('weight').data), before)
  t.deepEqual(Array.from(layer.effective('weight').data), before)
})

test('activations of 1 bit: 0 and 1, or the two signs', (t) => {
  const x = tensor([-2, -0.1, 0, 0.2, 3])
  t.deepEqual(new qnn.QuantReLU({ bits: 1, threshold: 1 }).forward(x).toArray(), [0, 0, 0, 0, 1])
  const sign = new qnn.QuantIdentity({ bits: 1, threshold: 0.5, returnQuantTensor: true })
  const y = sign.quantise(x)
  t.deepEqual(y.toArray(), [-0.5, -0.5, 0.5, 0.5, 0.5])
  t.deepEqual([y.bitWidth, y.signed, y.zeroPoint, y.training], [1, true, 0, true])
  t.deepEqual(y.int().toArray(), [-1, -1, 1, 1, 1])
})

test('a quantised weight’s storage is handed back after its gradient, and what it served stays right', (t) => {
  const layer = new qnn.QuantLinear(200, 100, { weightBits: 4 })
  const x = randn([3, 200])
  const first = layer.forward(x)
  const kept = Array.from(first.data)
  first.sum().backward()
  const gradient = Array.from(layer.weight.grad?.data ?? [])
  layer.zeroGrad()
  const again = layer.forward(x)
  t.deepEqual(Array.from(first.data), kept)
  t.deepEqual(Array.from(again.data), kept)
  again.sum().backward(undefined, { retainGraph: true })
  layer.zeroGrad()
  again.sum().backward()
  t.deepEqual(Array.from(layer.weight.grad?.data ?? []), gradient)
})

test('what makes no quantiser is refused', (t) => {
  const refused = { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' } as const
  for (const weightBits of [0, 9, 2.5, Number.NaN]) t.throws(() => new quant.WeightQuantiser({ weightBits }), refused)
  t.throws(() => new quant.WeightQuantiser({ weightBits: 3, weightRounding: 'ternary' }), refused)
  t.throws(() => new quant.WeightQuantiser({ weightRounding: 'up' as never }), refused)
  t.throws(() => new quant.WeightQuantiser({ weightScale: 'most' as never }), refused)
  for (const scale of [0, -1, Number.NaN]) t.throws(() => quant.scales.given(scale), refused)
  t.throws(() => quant.scales.given(0.3, { powerOfTwo: true }), refused)
  t.throws(() => new qnn.QuantIdentity({ bits: 4, asymmetric: true, channels: 2 }), refused)
  t.throws(() => new qnn.QuantIdentity({ percentile: 101 }), refused)
  t.throws(() => new qnn.QuantHardTanh({ min: 1, max: -1 }), refused)
})

test('a threshold that is not learned stays, and lets no gradient be asked of what is in front', (t) => {
  const identity = new qnn.QuantIdentity({ bits: 4, signed: false, threshold: 1.5, learned: false })
  t.is(identity.parameters().length, 0)
  const y = identity.forward(tensor([-1, 0.31, 0.97, 4]))
  t.false(y.requiresGrad)
  t.true(Math.abs(markOf(y).scale.item() - 0.1) < 1e-7)
  t.deepEqual(
    Array.from(y.data, (value) => Math.round(10 * value)),
    [0, 3, 10, 15],
  )
  t.throws(() => new qnn.QuantIdentity({ learned: false }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  t.throws(() => identity.quantiser.threshold, { instanceOf: EspalierError, code: 'STATE' })
})
