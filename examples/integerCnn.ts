import { nn, qnn, type Tensor } from 'espalier'

/** What an accumulator's width is spent on: largest codes. */
export interface Widths {
  accumulatorBits: number
  /** Of the pixels, and of what the layers behind each convolution are fed. */
  codes: readonly [input: number, conv1: number, conv2: number, conv3: number]
  weightBits: number
}

/** TinyCNN in whole numbers, for accumulators of a width that is given: pixels [n, 1, 8, 8] of 0 … 1 → logits [n, 10]. */
export class IntegerTinyCNN extends nn.Module {
  input: qnn.Codes
  conv1: qnn.IntegerConv2d
  codes1: qnn.Requantise
  conv2: qnn.IntegerConv2d
  codes2: qnn.Requantise
  conv3: qnn.IntegerConv2d
  codes3: qnn.Requantise
  fc: qnn.IntegerLinear
  logits: qnn.Rescale

  constructor({ codes: [input, first, second, third], ...widths }: Widths) {
    super()
    this.input = new qnn.Codes({ max: input })
    this.conv1 = new qnn.IntegerConv2d(1, 8, 3, widths)
    this.codes1 = new qnn.Requantise(8, { max: first })
    this.conv2 = new qnn.IntegerConv2d(8, 16, 3, { ...widths, stride: 2 })
    this.codes2 = new qnn.Requantise(16, { max: second })
    this.conv3 = new qnn.IntegerConv2d(16, 32, 2, widths)
    this.codes3 = new qnn.Requantise(32, { max: third })
    this.fc = new qnn.IntegerLinear(32, 10, widths)
    this.logits = new qnn.Rescale(10)
  }

  override forward(x: Tensor): Tensor {
    x = this.codes1.forward(this.conv1.forward(this.input.forward(x)))
    x = this.codes2.forward(this.conv2.forward(x))
    x = this.codes3.forward(this.conv3.forward(x))
    return this.logits.forward(this.fc.forward(x.flatten(1)))
  }
}
