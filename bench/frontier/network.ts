import { type FrontierParts, nn, qnn } from '../../lib/index.js'

/** The small network of the field's accumulator studies, for 8×8 images, from layers that keep an accumulator. */
export const tinyCnn = ({ layer, activation }: FrontierParts): nn.Module =>
  new nn.Sequential(
    // Pixels are never negative.
    new qnn.QuantIdentity({ ...activation, signed: false }),
    new qnn.QuantConv2d(1, 8, 3, layer),
    new qnn.QuantReLU(activation),
    new qnn.QuantConv2d(8, 16, 3, { ...layer, stride: 2 }),
    new qnn.QuantReLU(activation),
    new qnn.QuantConv2d(16, 32, 2, layer),
    new qnn.QuantReLU(activation),
    new nn.Flatten(),
    new qnn.QuantLinear(32, 10, layer),
  )
