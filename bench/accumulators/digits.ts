// TinyCNN on the UCI digits, reference split. Settings are those that were best in the folds of the training part:
// `npm run bench -- accumulators` reads the test part once, with what stands here.
import { IntegerTinyCNN, type Widths } from '../../examples/integerCnn.js'
import { data, Generator, manualSeed } from '../../lib/index.js'
import { judged, learn, type Outcome } from './recipe.js'

export const settings: readonly (Widths & { lr: number; epochs: number })[] = [
  { accumulatorBits: 5, codes: [3, 2, 2, 2], weightBits: 3, lr: 0.01, epochs: 250 },
  { accumulatorBits: 6, codes: [5, 3, 3, 3], weightBits: 3, lr: 0.02, epochs: 250 },
  { accumulatorBits: 8, codes: [7, 7, 7, 7], weightBits: 3, lr: 0.03, epochs: 250 },
  { accumulatorBits: 10, codes: [15, 7, 7, 7], weightBits: 4, lr: 0.07, epochs: 250 },
]

/** The whole batch of a dataset. */
const all = (dataset: data.Dataset, transform: data.Transform) => [...new data.DataLoader(dataset, { batchSize: dataset.length, transform })][0]

/** Trains one network on `train`, and judges it on `test`. */
export async function trained(
  { lr, epochs, ...widths }: (typeof settings)[number],
  seed: number,
  { train, test }: { train: data.Dataset; test: data.Dataset } = data.digits(),
): Promise<Omit<Outcome, 'seconds'>> {
  manualSeed(seed)
  const generator = new Generator(seed)
  const scale = data.scale(1 / 16)
  const augment = data.randomAffine({ rotate: 8, scale: 0.08, shift: 0.3, probability: 0.8, generator })
  const loader = new data.DataLoader(train, { batchSize: 64, shuffle: true, dropLast: true, generator, transform: data.compose(scale, augment) })
  const model = new IntegerTinyCNN(widths)
  await learn(model, { loader, samples: all(train, scale)[0].slice({ start: 0, end: 200 }), epochs, lr })
  const [x, y] = all(test, scale)
  return judged(model, [x, y], widths.accumulatorBits)
}
