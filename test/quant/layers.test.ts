import test from 'ava'
import fc from 'fast-check'
import { EspalierError, nn, noGrad, ops, qnn, quant, randn, type Tensor, tensor } from '../../lib/index.js'
import { wholeNumbers } from '../../lib/quant/integer.js'

const network = (options: { biasBits?: number; perChannel?: boolean } = {}): nn.Sequential =>
  new nn.Sequential(
    new qnn.QuantIdentity({ bits: 4, collectSteps: 3 }),
    new qnn.QuantConv2d(2, 5, 3, { weightBits: 4, padding: 1, ...options }),
    new qnn.QuantReLU({ bits: 3, collectSteps: 3 }),
    new nn.Flatten(),
    new qnn.QuantLinear(5 * 36, 4, { weightBits: 3, ...options }),
  )

function trained(model: nn.Module): nn.Module {
  for (let step = 0; step < 6; step++) model.forward(randn([4, 2, 6, 6]))
  return model.eval()
}

test('codes lie on the grid of the quantiser and inside its range', (t) => {
  const identity = new qnn.QuantIdentity({ bits: 3 })
  const y = identity.forward(randn([50]))
  const { scale, min, max } = y.quantisation as NonNullable<Tensor['quantisation']>
  t.deepEqual([min, max], [-4, 3])
  for (const value of y.data) {
    const code = value / scale.data[0]
    t.true(Math.abs(code - Math.round(code)) < 1e-5 && Math.round(code) >= min && Math.round(code) <= max)
  }
})

test('the threshold follows the batches, then is learned', (t) => {
  const relu = new qnn.QuantReLU({ bits: 4, collectSteps: 2, momentum: 0.1 })
  const [first, second] = [ops.relu(randn([8])), ops.relu(randn([8]))]
  const threshold = (x: Tensor): number => Math.max(...x.data)
  relu.forward(first)
  relu.forward(second)
  const { running, value, learned } = relu.quantiser.threshold
  t.false(learned)
  const expected = 0.9 * threshold(first) + 0.1 * threshold(second)
  t.true(Math.abs(running.data[0] - expected) < 1e-6)
  const y = relu.forward(first)
  t.true(relu.quantiser.threshold.learned)
  t.true(Math.abs(value.data[0] - expected) < 1e-6)
  y.sum().backward()
  t.not(value.grad, null)
})

for (const [name, options] of Object.entries({ 'float bias': {}, 'integer bias': { biasBits: 8 }, 'a scale per channel': { biasBits: 8, perChannel: true } }))
  test(`the integer evaluation agrees with the fake-quantised forward: ${name}`, (t) => {
    const model = trained(network(options))
    const x = randn([16, 2, 6, 6])
    const fake = noGrad(() => model.forward(x))
    const certificate = quant.certify(model)
    certificate.verify()
    const seen: number[][] = []
    const exact = noGrad(() =>
      quant.inIntegers(
        () => model.forward(x),
        (_, sums) => seen.push([Math.min(...sums), Math.max(...sums)]),
      ),
    )
    for (let i = 0; i < fake.size; i++) t.true(Math.abs(fake.data[i] - exact.data[i]) <= 1e-4 * Math.max(1, Math.abs(fake.data[i])))
    t.is(seen.length, 2)
    for (const [i, [min, max]] of seen.entries()) {
      t.true(Number.isInteger(min) && Number.isInteger(max))
      t.true(min >= certificate.layers[i].min && max <= certificate.layers[i].max)
    }
  })

test('a certificate that was tampered with, or a width too small, names the neuron', (t) => {
  const certificate = quant.certify(trained(network({ biasBits: 8 })))
  const error = t.throws(() => certificate.verify({ bits: 4 }), { instanceOf: EspalierError })
  t.regex(error?.message ?? '', /neuron \d+: .* exceeds 4 bits \(-8…7\) by \d+/)
  const layer = certificate.layers[0]
  const forged = new quant.Certificate([{ ...layer, neurons: layer.neurons.map((neuron) => ({ ...neuron, max: neuron.max - 1 })) }])
  t.throws(() => forged.verify(), { instanceOf: EspalierError })
})

test('an integer bias wants a quantised input', (t) => {
  const layer = new qnn.QuantLinear(4, 2, { biasBits: 8 })
  t.throws(() => layer.forward(randn([1, 4])), { instanceOf: EspalierError, code: 'STATE' })
})

for (const perChannel of [false, true])
  test(`a linear layer takes vectors in any number of dimensions, scales ${perChannel ? 'a channel' : 'a tensor'}`, (t) => {
    const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 4, collectSteps: 1 }), new qnn.QuantLinear(6, 3, { weightBits: 4, perChannel }))
    const x = randn([2, 5, 6])
    model.forward(x)
    model.eval()
    noGrad(() => {
      const [stacked, flat] = [model.forward(x), model.forward(ops.reshape(x, [10, 6]))]
      t.deepEqual(stacked.shape, [2, 5, 3])
      t.deepEqual([...stacked.data], [...flat.data])
    })
  })

test('impossible widths are refused', (t) => {
  for (const bits of [0, 9, 2.5, Number.NaN, -3]) {
    t.throws(() => new qnn.QuantIdentity({ bits }), { instanceOf: EspalierError })
    t.throws(() => new qnn.QuantLinear(4, 2, { weightBits: bits }), { instanceOf: EspalierError })
  }
  t.throws(() => new qnn.QuantLinear(4, 2, { biasBits: 33 }), { instanceOf: EspalierError })
})

test('a quantised model can be copied and saved', (t) => {
  const model = trained(network({ biasBits: 8 }))
  const x = randn([3, 2, 6, 6])
  const y = noGrad(() => model.forward(x))
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
  const fresh = network({ biasBits: 8 }).eval()
  fresh.loadStateDict(model.stateDict())
  t.deepEqual(noGrad(() => fresh.forward(x)).data, y.data)
})

test('a threshold for each channel is the one of that channel alone', (t) => {
  const options = { bits: 4, collectSteps: 2, momentum: null } as const
  const together = new qnn.QuantIdentity({ ...options, channels: 3 })
  const apart = [0, 1, 2].map(() => new qnn.QuantIdentity(options))
  for (let step = 0; step < 4; step++) {
    together.train(step < 3)
    const x = randn([2, 3, 4])
    const y = together.forward(x)
    for (const [channel, identity] of apart.entries()) {
      identity.train(step < 3)
      const part = ops.slice(x, { dim: 1, start: channel, end: channel + 1 })
      t.deepEqual(ops.slice(y, { dim: 1, start: channel, end: channel + 1 }).data, identity.forward(part).data)
    }
  }
  t.throws(() => together.forward(randn([2, 4, 4])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  // Sums of products of different scales have no unit for an integer bias.
  const layer = new qnn.QuantConv2d(3, 2, 1, { biasBits: 8 })
  t.throws(() => layer.forward(together.forward(randn([2, 3, 4, 4]))), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
})

test('power-of-two scales are powers of two: of weights always, of activations once learned and in evaluation', (t) => {
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 4, collectSteps: 2, powerOfTwo: true }),
    new qnn.QuantLinear(6, 3, { weightBits: 4, powerOfTwo: true, perChannel: true }),
  )
  const whole = (scale: Tensor): boolean => scale.data.every((value: number) => Number.isInteger(Math.log2(value)))
  const scaleOf = (y: Tensor): Tensor => (y.quantisation as NonNullable<Tensor['quantisation']>).scale
  const identity = model.at(0) as qnn.QuantIdentity
  for (let step = 0; step < 5; step++) {
    t.is(whole(scaleOf(identity.train().forward(randn([4, 6])))), step >= 2)
    t.true(whole(scaleOf(identity.eval().forward(randn([4, 6])))))
    t.true(whole(scaleOf((model.at(1) as nn.Module).effective('weight'))))
  }
})

test('a given threshold follows no batch', (t) => {
  const identity = new qnn.QuantIdentity({ bits: 3, threshold: 2 })
  for (const mode of [true, false]) {
    const { scale } = identity.train(mode).forward(randn([9])).quantisation as NonNullable<Tensor['quantisation']>
    t.is(scale.data[0], 0.5)
  }
  for (const threshold of [0, -1, Number.NaN]) t.throws(() => new qnn.QuantIdentity({ threshold }), { instanceOf: EspalierError })
})

test('whole numbers behind values are the codes exactly, in either type, by one scale or a scale a channel', (t) => {
  const scaleOf = fc.double({ min: 1e-20, max: 1e20, noNaN: true }).map((scale) => Math.fround(scale))
  const codesBelow = (limit: number) =>
    fc.array(fc.oneof(fc.integer({ min: 1 - limit, max: limit - 1 }), fc.constantFrom(0, 1 - limit, limit - 1)), { minLength: 1 })
  for (const [dtype, limit] of [
    ['float32', 2 ** 22],
    ['float64', 2 ** 23],
  ] as const)
    fc.assert(
      fc.property(
        codesBelow(limit),
        fc.oneof(
          scaleOf.map((one) => [one]),
          fc.tuple(scaleOf, scaleOf, scaleOf),
        ),
        (row, scale) => {
          const codes = scale.flatMap(() => row)
          const values = tensor(
            codes.map((code, i) => Math.fround(code * scale[Math.floor(i / row.length)])),
            [scale.length, row.length],
          )
          const whole = wholeNumbers(values, tensor(scale), dtype)
          if (whole.dtype !== dtype || codes.some((code, i) => whole.data[i] !== code)) throw new Error(`${codes} became ${whole.data}`)
        },
      ),
    )
  t.pass()
})

test('an evaluation leaves the results of the one before alone, and the sums that were observed', (t) => {
  const model = trained(network({ biasBits: 10 }))
  const [a, b] = [randn([300, 2, 6, 6]), randn([300, 2, 6, 6])]
  const observed: Float64Array[] = []
  const evaluate = (x: Tensor): Tensor => noGrad(() => model.forward(x))
  const first = evaluate(a)
  noGrad(() =>
    quant.inIntegers(
      () => model.forward(a),
      (_, sums) => void observed.push(sums),
    ),
  )
  const before = [first, ...observed.map((sums) => tensor(sums))].map((one) => one.copy().data)
  for (let i = 0; i < 3; i++) evaluate(b)
  t.deepEqual([first.data, ...observed], before)
  t.deepEqual(evaluate(a).data, first.data)
})
