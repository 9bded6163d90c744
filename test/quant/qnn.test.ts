import test from 'ava'
import fc from 'fast-check'
import { EspalierError, nn, noGrad, ops, qnn, quant, randn, type Tensor, tensor, zeros } from '../../lib/index.js'

type Mark = NonNullable<Tensor['quantisation']>
const markOf = (y: Tensor): Mark => y.quantisation as Mark

/** Whole numbers as values with a scale, as a quantiser of so many bits gives them. */
function given(codes: number[], shape: number[], bits: number, signed: boolean, scale: number): Tensor {
  const range = quant.integerRange({ bits, signed })
  const x = tensor(
    codes.map((code) => Math.fround(code * Math.fround(scale))),
    shape,
  )
  x.quantisation = { scale: tensor(scale), ...range, bits }
  return x
}

test('pooling, flattening, reshaping and slicing keep the codes known; arithmetic does not', (t) => {
  const y = new qnn.QuantReLU({ bits: 3 }).forward(randn([2, 3, 4, 4]))
  for (const kept of [new nn.MaxPool2d(2).forward(y), new nn.Flatten().forward(y), y.reshape([2, -1]), y.slice({ dim: 0, start: 1 }), y.permute([0, 2, 3, 1])])
    t.is(kept.quantisation, y.quantisation)
  for (const lost of [y.add(1), y.mul(2), new nn.AvgPool2d(2).forward(y)]) t.is(lost.quantisation, null)
})

test('TruncAvgPool2d: codes are the sum’s upper bits, values the mean on their grid', (t) => {
  const pools = fc.record({
    window: fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 3 })),
    bits: fc.integer({ min: 1, max: 8 }),
    signed: fc.boolean(),
    wanted: fc.integer({ min: 1, max: 8 }),
    scale: fc.float({ min: Math.fround(0.01), max: 3, noNaN: true }),
    seed: fc.nat(1e6),
  })
  fc.assert(
    fc.property(pools, ({ window: [height, width], bits: b, signed, wanted, scale, seed }) => {
      const bits = signed ? Math.max(2, b) : b
      const { min, max } = quant.integerRange({ bits, signed })
      const codes = Array.from({ length: 2 * height * 2 * width }, (_, i) => min + ((seed + i * i * 7919) % (max - min + 1)))
      const x = given(codes, [1, 1, 2 * height, 2 * width], bits, signed, scale)
      const pool = new qnn.TruncAvgPool2d([height, width], { bits: wanted, returnQuantTensor: true }).eval()
      const size = height * width
      const widest = signed ? quant.bitsFor(min * size, max * size) : quant.bitsFor(0, max * size) - 1
      const cut = 2 ** Math.max(0, widest - wanted)
      for (const y of [pool.forward(x), noGrad(() => pool.forward(x)), pool.train().forward(x)] as quant.QuantTensor[]) {
        const seen = y.int().data
        for (let i = 0; i < 4; i++) {
          let sum = 0
          for (let r = 0; r < height; r++) for (let c = 0; c < width; c++) sum += codes[((i >> 1) * height + r) * 2 * width + (i & 1) * width + c]
          t.is(seen[i], Math.floor(sum / cut) + 0)
          t.true(Math.abs(y.data[i] - (Math.floor(sum / cut) * cut * scale) / size) < 1e-4)
        }
        t.true(y.quantisation.min >= -(2 ** 8) && y.bitWidth <= Math.max(wanted, bits))
        if (widest >= wanted) t.true(y.bitWidth <= wanted)
      }
    }),
  )
})

test('TruncAvgPool2d: the gradient is that of the mean', (t) => {
  const x = tensor(
    Array.from({ length: 16 }, (_, i) => i % 4),
    [1, 1, 4, 4],
    { requiresGrad: true },
  )
  x.quantisation = { scale: tensor(1), min: 0, max: 3 }
  new qnn.TruncAvgPool2d(2, { bits: 2 }).forward(x).sum().backward()
  t.deepEqual(Array.from(x.grad?.data ?? []), new Array<number>(16).fill(0.25))
  t.throws(() => new qnn.TruncAvgPool2d(2).forward(zeros([1, 1, 4, 4])), { instanceOf: EspalierError, code: 'STATE' })
})

test('QuantEltwiseAdd: both operands on one grid, in every phase; the sum has the codes of a sum', (t) => {
  const residual = new qnn.QuantEltwiseAdd({ bits: 3, collectSteps: 2, returnQuantTensor: true })
  for (let step = 0; step < 5; step++) {
    residual.train(step < 4)
    const [a, b] = [randn([3, 5]), randn([3, 5]).mul(3)]
    const y = residual.forward(a, b) as quant.QuantTensor
    t.deepEqual([y.quantisation.min, y.quantisation.max, y.bitWidth, y.signed], [-8, 6, 4, true])
    const scale = y.scale.item()
    const code = (value: number): number => Math.min(3, Math.max(-4, Math.round(value / scale))) + 0
    t.deepEqual(
      Array.from(y.int().data),
      Array.from(a.data, (value, i) => code(value) + code(b.data[i])),
    )
  }
  t.throws(() => residual.forward(randn([2, 2]), randn([2, 3])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
})

test('QuantEltwiseAdd: gradients reach both operands and the scale they share', (t) => {
  const residual = new qnn.QuantEltwiseAdd({ bits: 3, threshold: 1 })
  const [a, b] = [randn([8]), randn([8])]
  for (const x of [a, b]) x.requiresGrad = true
  residual.forward(a, b).sum().backward()
  const single = new qnn.QuantIdentity({ bits: 3, threshold: 1 })
  let sum = 0
  for (const x of [a, b]) {
    const alone = x.detach()
    alone.requiresGrad = true
    single.zeroGrad()
    single.forward(alone).sum().backward()
    t.deepEqual(x.grad?.data, alone.grad?.data)
    sum += single.quantiser.threshold.value.grad?.item() ?? 0
  }
  t.true(Math.abs((residual.quantiser.threshold.value.grad?.item() ?? 0) - sum) < 1e-5)
})

class Residual extends nn.Module {
  first = new qnn.QuantIdentity({ bits: 4, signed: false, threshold: 1 })
  convolution = new qnn.QuantConv2d(2, 2, 3, { padding: 1, weightBits: 3, biasBits: 6 })
  residual = new qnn.QuantEltwiseAdd({ bits: 3, threshold: 1 })
  activation = new qnn.QuantReLU({ bits: 3, threshold: 1 })
  pool = new qnn.TruncAvgPool2d(2, { bits: 3 })
  linear = new qnn.QuantLinear(8, 3, { weightBits: 2, biasBits: 5 })
  flatten = new nn.Flatten()

  forward(image: Tensor): Tensor {
    const x = this.first.forward(image)
    const y = this.activation.forward(this.residual.forward(this.convolution.forward(x), x))
    return this.linear.forward(this.flatten.forward(this.pool.forward(y)))
  }
}

test('a residual network with an average pool: every sum has a certificate, which holds', (t) => {
  const model = new Residual()
  const x = ops.relu(randn([5, 2, 4, 4]))
  for (let step = 0; step < 2; step++) model.forward(x).sum().backward()
  for (const parameter of model.parameters()) t.not(parameter.grad, null)
  const certificate = quant.certify(model.eval())
  certificate.verify()
  const layers = new Map(certificate.layers.map((layer) => [layer.name, layer]))
  t.deepEqual([...layers.keys()].sort(), ['convolution', 'linear', 'pool', 'residual'])
  t.deepEqual([layers.get('residual')?.min, layers.get('residual')?.max, layers.get('residual')?.bits], [-8, 6, 4])
  t.deepEqual([layers.get('pool')?.min, layers.get('pool')?.max, layers.get('pool')?.fanIn], [0, 28, 4])
  t.deepEqual(layers.get('linear')?.input, { min: 0, max: 7 })
  const seen = new Set<string>()
  const y = noGrad(() => model.forward(x))
  const exact = noGrad(() =>
    quant.inIntegers(
      () => model.forward(x),
      (layer, sums) => {
        const [name] = [...model.namedModules()].find(([, module]) => module === layer) as [string, nn.Module]
        seen.add(name)
        const { min, max } = layers.get(name) as { min: number; max: number }
        for (const sum of sums) t.true(Number.isInteger(sum) && sum >= min && sum <= max)
      },
    ),
  )
  t.deepEqual([...seen].sort(), ['convolution', 'linear', 'pool'])
  t.deepEqual(exact.data, y.data)
  t.deepEqual(noGrad(() => model.clone().forward(x)).data, y.data)
})

test('QuantHardTanh: cut, then codes; unsigned where min ≥ 0', (t) => {
  const signed = new qnn.QuantHardTanh({ bits: 4, min: -2, max: 1 })
  const x = tensor([-5, -1.9, 0.1, 0.99, 5], { requiresGrad: true })
  const y = signed.forward(x)
  t.deepEqual([markOf(y).min, markOf(y).max, markOf(y).scale.item()], [-8, 7, 0.25])
  t.deepEqual(
    Array.from(y.data, (value) => value + 0),
    [-2, -2, 0, 1, 1],
  )
  y.sum().backward()
  t.deepEqual(Array.from(x.grad?.data ?? []), [0, 1, 1, 1, 0])
  t.is(markOf(new qnn.QuantHardTanh({ bits: 4, min: 0, max: 1 }).forward(x)).min, 0)
})

test('QuantConv1d is QuantConv2d on planes of height 1', (t) => {
  const one = new qnn.QuantConv1d(2, 3, 3, { weightBits: 4, biasBits: 8, stride: 2, padding: 1 })
  const two = new qnn.QuantConv2d(2, 3, [1, 3], { weightBits: 4, biasBits: 8, stride: [1, 2], padding: [0, 1] })
  two.weight.data.set(one.weight.data as never)
  two.bias?.data.set(one.bias?.data as never)
  const x = new qnn.QuantIdentity({ bits: 4 }).forward(randn([2, 2, 9]))
  const y = one.forward(x)
  const plane = two.forward(x.reshape([2, 2, 1, 9]))
  for (const [i, value] of y.data.entries()) t.true(Math.abs(value - plane.data[i]) < 1e-5)
  t.deepEqual(quant.certify(one).layers[0].neurons, quant.certify(two).layers[0].neurons)
})

test('returnQuantTensor of a layer: the sums in the accumulator and their scale', (t) => {
  for (const perChannel of [false, true]) {
    const conv = new qnn.QuantConv2d(2, 3, 2, { weightBits: 3, biasBits: 6, perChannel, returnQuantTensor: true }).eval()
    const x = new qnn.QuantIdentity({ bits: 3, threshold: 2 }).forward(randn([2, 2, 4, 4]))
    const y = conv.forward(x) as quant.QuantTensor
    let sums: Float64Array = new Float64Array()
    noGrad(() =>
      quant.inIntegers(
        () => conv.forward(x),
        (_, accumulators) => {
          sums = accumulators
        },
      ),
    )
    t.deepEqual(Array.from(y.int().data), Array.from(sums))
    t.deepEqual(y.scale.shape, perChannel ? [3, 1, 1] : [])
    t.true(sums.every((sum) => sum >= y.quantisation.min && sum <= y.quantisation.max))
    t.true(y.bitWidth >= quant.certify(conv).bits)
  }
  const float = new qnn.QuantLinear(3, 2, { returnQuantTensor: true })
  t.throws(() => float.forward(new qnn.QuantIdentity().forward(randn([1, 3]))), { instanceOf: EspalierError, code: 'STATE' })
  t.throws(() => new qnn.QuantLinear(3, 2, { bias: false, returnQuantTensor: true }).forward(randn([1, 3])), { instanceOf: EspalierError, code: 'STATE' })
})

test('a QuantTensor is a tensor, and on the tape', (t) => {
  const identity = new qnn.QuantIdentity({ bits: 3, threshold: 1, returnQuantTensor: true })
  const x = tensor([-3, 0.3, 0.6], { requiresGrad: true })
  const y = identity.forward(x) as quant.QuantTensor
  t.deepEqual(y.value.toArray(), y.toArray())
  t.deepEqual(y.int().toArray(), [-4, 1, 2])
  y.mul(2).sum().backward()
  t.deepEqual(Array.from(x.grad?.data ?? []), [0, 2, 2])
  t.throws(() => new quant.QuantTensor(x, true), { instanceOf: EspalierError, code: 'STATE' })
  const model = new nn.Sequential(identity, new qnn.QuantLinear(3, 2, { bias: false }))
  model.forward(randn([2, 3]))
  quant.certify(model.eval()).verify()
})
