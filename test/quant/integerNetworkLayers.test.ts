import test from 'ava'
import { manualSeed, nn, noGrad, qnn, quant, randn, type Tensor } from '../../lib/index.js'

const act = { bits: 4, collectSteps: 2 }
class Residual extends nn.Module {
  first = new qnn.QuantIdentity({ ...act, signed: false })
  convolution = new qnn.QuantConv2d(2, 2, 3, { padding: 1, weightBits: 3, biasBits: 6 })
  residual = new qnn.QuantEltwiseAdd(act)
  activation = new qnn.QuantReLU(act)
  pool = new qnn.TruncAvgPool2d(2, { bits: 3 })
  second = new qnn.QuantConv2d(2, 4, 1, { weightBits: 3 })
  hard = new qnn.QuantHardTanh({ bits: 3 })
  linear = new qnn.QuantLinear(16, 3, { weightBits: 2, biasBits: 5 })
  flatten = new nn.Flatten()
  forward(image: Tensor): Tensor {
    const x = this.first.forward(image)
    const y = this.activation.forward(this.residual.forward(this.convolution.forward(x), x))
    return this.linear.forward(this.flatten.forward(this.hard.forward(this.second.forward(this.pool.forward(y)))))
  }
}
const makes: Record<string, { make: () => nn.Module; input: number[] }> = {
  residual: { make: () => new Residual(), input: [2, 4, 4] },
  quantTensors: {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({ ...act, returnQuantTensor: true }),
        new qnn.QuantConv2d(2, 4, 3, { weightBits: 4, biasBits: 8, returnQuantTensor: true }),
        new qnn.QuantReLU({ ...act, returnQuantTensor: true }),
        new qnn.TruncAvgPool2d(2, { bits: 4, returnQuantTensor: true }),
        new nn.Flatten(),
        new qnn.QuantLinear(16, 3, { weightBits: 4, returnQuantTensor: true, bias: false }),
      ),
    input: [2, 6, 6],
  },
  asymmetric: {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({ ...act, asymmetric: true }),
        new qnn.QuantLinear(12, 6, { weightBits: 4 }),
        new qnn.QuantIdentity({ ...act, asymmetric: true }),
        new qnn.QuantLinear(6, 3, { weightBits: 4 }),
      ),
    input: [12],
  },
  signs: {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({ ...act, bits: 1 }),
        new qnn.QuantLinear(12, 6, { weightBits: 1 }),
        new qnn.QuantIdentity({ ...act, bits: 1 }),
        new qnn.QuantLinear(6, 3, { weightBits: 4 }),
      ),
    input: [12],
  },
  sequence: {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity(act),
        new qnn.QuantConv1d(3, 4, 3, { weightBits: 4, padding: 1, stride: 2 }),
        new qnn.QuantReLU(act),
        new nn.Flatten(),
        new qnn.QuantLinear(16, 3, { weightBits: 4 }),
      ),
    input: [3, 8],
  },
  towardZero: {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({
          quantiser: new quant.Quantiser({
            codes: quant.codes.integer({ bits: 4, signed: true }),
            scale: quant.scales.given(0.25),
            rounding: quant.roundings.towardZero,
          }),
        }),
        new qnn.QuantLinear(12, 6, { weightBits: 4 }),
        new qnn.QuantIdentity({
          quantiser: new quant.Quantiser({
            codes: quant.codes.integer({ bits: 3, signed: true }),
            scale: quant.scales.given(0.25),
            rounding: quant.roundings.down,
          }),
        }),
        new qnn.QuantLinear(6, 3, { weightBits: 4 }),
      ),
    input: [12],
  },
  sumConsumed: {
    make: () =>
      new (class extends nn.Module {
        q = new qnn.QuantIdentity(act)
        a = new qnn.QuantLinear(6, 6, { weightBits: 4 })
        add = new qnn.QuantEltwiseAdd(act)
        b = new qnn.QuantLinear(6, 3, { weightBits: 4 })
        forward(x: Tensor): Tensor {
          const y = this.q.forward(x)
          return this.b.forward(this.add.forward(this.a.forward(y), y))
        }
      })(),
    input: [6],
  },
  wholeNumbers: {
    make: () => {
      const widths = { weightBits: 3, accumulatorBits: 9 }
      const model = new nn.Sequential(
        new qnn.Codes({ max: 5 }),
        new qnn.IntegerConv2d(2, 4, 3, widths),
        new qnn.Requantise(4, { max: 7 }),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new qnn.IntegerLinear(16, 8, widths),
        new qnn.Requantise(8, { max: 3 }),
        new qnn.IntegerLinear(8, 3, widths),
        new qnn.Rescale(3),
      )
      quant.startIntegers(model, randn([16, 2, 6, 6]))
      return model
    },
    input: [2, 6, 6],
  },
}
for (const [name, { make, input }] of Object.entries(makes))
  test(name, (t) => {
    for (let seed = 0; seed < 4; seed++) {
      manualSeed(seed)
      const model = make()
      for (let i = 0; i < 4; i++) model.forward(randn([16, ...input]))
      quant.freeze(model)
      const program = quant.integerNetwork(model, { input })
      const x = randn([100, ...input])
      const y = noGrad(() => model.forward(x))
      t.true(program.run(x).output.data.every((v: number, i: number) => v === y.data[i]))
      quant.certify(program).verify()
    }
  })
