import { manualSeed, nn, prune, qnn, rand, type Tensor } from '../../lib/index.js'
import { QuantTinyCNN } from './quantTinyCnn.js'

/** A quantised network, trained a little so that its quantisers have their ranges, and one sample's shape. */
export interface QuantNetwork {
  readonly model: nn.Module
  readonly input: readonly number[]
  /** Whether float32 holds every sum. */
  readonly single: boolean
}

const warmed = (model: nn.Module, input: readonly number[], single = true): QuantNetwork => {
  manualSeed(21)
  model.train()
  for (let i = 0; i < 6; i++) model.forward(rand([8, ...input]).sub(0.4))
  model.eval()
  return { model, input, single }
}

/** Weights that are all positive and nearly equal: sums grow as far as they can. */
function positive<L extends { weight: Tensor }>(layer: L): L {
  layer.weight.data.set(layer.weight.data.map((value: number) => 1 + 0.1 * value))
  return layer
}

function pruned<L extends nn.Module>(layer: L): L {
  prune.l1Unstructured(layer, 'weight', 0.9)
  return layer
}

/** What layers on codes may look like, by name. */
export const quantNetworks: Record<string, () => QuantNetwork> = {
  'unsigned codes': () => warmed(new QuantTinyCNN(4), [1, 8, 8]),
  'signed codes, groups, strides, dilation, a border': () =>
    warmed(
      new nn.Sequential(
        new qnn.QuantIdentity({ bits: 5 }),
        new qnn.QuantConv2d(4, 6, [3, 2], { stride: [2, 1], padding: [2, 1], dilation: [1, 2], groups: 2, weightBits: 5, perChannel: true }),
        new qnn.QuantReLU({ bits: 6 }),
        new nn.MaxPool2d(2),
        new qnn.QuantConv2d(6, 5, 3, { padding: 'same', weightBits: 3, biasBits: 9 }),
        new qnn.QuantIdentity({ bits: 3 }),
        new nn.Flatten(),
        new qnn.QuantLinear(45, 7, { weightBits: 4, bias: false }),
      ),
      [4, 9, 7],
    ),
  'largest values behind planes, odd and narrow': () =>
    warmed(
      new nn.Sequential(
        new qnn.QuantIdentity({ bits: 4 }),
        new qnn.QuantConv2d(2, 5, 5, { weightBits: 4, padding: 2 }),
        new qnn.QuantReLU({ bits: 4 }),
        new nn.MaxPool2d(2),
        pruned(new qnn.QuantConv2d(5, 4, 3, { weightBits: 4, perChannel: true, biasBits: 10 })),
        new qnn.QuantIdentity({ bits: 4 }),
        new nn.MaxPool2d(2),
        new nn.Flatten(),
        new qnn.QuantLinear(4 * 3 * 4, 5, { weightBits: 4 }),
      ),
      [2, 17, 21],
    ),
  'ternary weights, signs among the codes': () =>
    warmed(
      new nn.Sequential(
        new qnn.QuantIdentity({ bits: 4 }),
        new qnn.QuantConv2d(3, 8, 3, { weightBits: 2, weightRounding: 'ternary', padding: 1 }),
        new qnn.QuantReLU({ bits: 8 }),
        new nn.Flatten(),
        pruned(new qnn.QuantLinear(8 * 25, 150, { weightBits: 2, weightRounding: 'ternary', biasBits: 12 })),
        new qnn.QuantIdentity({ bits: 8 }),
        new qnn.QuantLinear(150, 4, { weightBits: 2, weightRounding: 'ternary' }),
      ),
      [3, 5, 5],
    ),
  'a zero point, a border, rows of vectors': () =>
    warmed(
      new nn.Sequential(
        new qnn.QuantIdentity({ bits: 4, asymmetric: true }),
        new qnn.QuantConv1d(3, 4, 3, { padding: 2, weightBits: 5 }),
        new qnn.QuantIdentity({ bits: 4, asymmetric: true }),
        new qnn.QuantLinear(12, 5, { weightBits: 8, bias: false }),
      ),
      [3, 10],
    ),
  'whole numbers': () =>
    warmed(
      new nn.Sequential(
        new qnn.Codes({ max: 7 }),
        new qnn.IntegerConv2d(1, 8, 3, { weightBits: 3, accumulatorBits: 8 }),
        new qnn.Requantise(8, { max: 255 }),
        new nn.Flatten(),
        new qnn.IntegerLinear(72, 10, { weightBits: 3, accumulatorBits: 16 }),
        new qnn.Rescale(10),
      ),
      [1, 5, 5],
    ),
  'sums that float32 does not hold': () =>
    warmed(
      new nn.Sequential(
        new qnn.QuantIdentity({ bits: 8, signed: false }),
        positive(new qnn.QuantConv2d(80, 3, 3, { weightBits: 8, padding: 1, bias: false })),
        new qnn.QuantReLU({ bits: 8 }),
        new nn.Flatten(),
        positive(new qnn.QuantLinear(3 * 400, 4, { weightBits: 8, biasBits: 8 })),
      ),
      [80, 20, 20],
      false,
    ),
}
