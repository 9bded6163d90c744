import { nn, qnn, type Tensor } from '../../lib/index.js'

/** The TinyCNN of the examples with integers behind every weight, activation and bias. */
export class QuantTinyCNN extends nn.Module {
  input: qnn.QuantIdentity
  conv1: qnn.QuantConv2d
  relu1: qnn.QuantReLU
  conv2: qnn.QuantConv2d
  relu2: qnn.QuantReLU
  conv3: qnn.QuantConv2d
  relu3: qnn.QuantReLU
  fc: qnn.QuantLinear

  constructor(bits: number) {
    super()
    const activation = { bits, collectSteps: 100 }
    const weights = { weightBits: bits, biasBits: 10 }
    // Pixels are never negative: unsigned codes use the whole range.
    this.input = new qnn.QuantIdentity({ ...activation, signed: false })
    this.conv1 = new qnn.QuantConv2d(1, 8, 3, weights)
    this.relu1 = new qnn.QuantReLU(activation)
    this.conv2 = new qnn.QuantConv2d(8, 16, 3, { ...weights, stride: 2 })
    this.relu2 = new qnn.QuantReLU(activation)
    this.conv3 = new qnn.QuantConv2d(16, 32, 2, weights)
    this.relu3 = new qnn.QuantReLU(activation)
    this.fc = new qnn.QuantLinear(32, 10, weights)
  }

  override forward(x: Tensor): Tensor {
    x = this.relu1.forward(this.conv1.forward(this.input.forward(x)))
    x = this.relu2.forward(this.conv2.forward(x))
    x = this.relu3.forward(this.conv3.forward(x))
    return this.fc.forward(x.flatten(1))
  }
}
