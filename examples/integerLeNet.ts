import { nn, qnn } from 'espalier'

/** LeNet in whole numbers, for accumulators of a width that is given: pixels [n, 1, 28, 28] of 0 … 1 → logits [n, 10]. */
export function integerLeNet({ codes: max, ...widths }: { accumulatorBits: number; weightBits: number; codes: number }): nn.Sequential {
  return new nn.Sequential(
    new qnn.Codes({ max }),
    new qnn.IntegerConv2d(1, 6, 5, { ...widths, padding: 2 }),
    new nn.MaxPool2d(2),
    new qnn.Requantise(6, { max }),
    new qnn.IntegerConv2d(6, 16, 5, widths),
    new nn.MaxPool2d(2),
    new qnn.Requantise(16, { max }),
    new nn.Flatten(),
    new qnn.IntegerLinear(400, 120, widths),
    new qnn.Requantise(120, { max }),
    new qnn.IntegerLinear(120, 84, widths),
    new qnn.Requantise(84, { max }),
    new qnn.IntegerLinear(84, 10, widths),
    new qnn.Rescale(10),
  )
}
