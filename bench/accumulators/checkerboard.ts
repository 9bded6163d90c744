// The two-dimensional task of Concrete ML's documentation on custom models: a grid of 100 × 100 points, 9,500 to train
// on and 500 to test, in the classes of a board whose squares change where 3x or 3y rounds to another whole number.
// Each coordinate has noise of deviation 0.01, which moves some points to a square of the other class: the board itself
// is right on 95.8% of those to train on and 95.6% of those to test.
import { data, Generator, manualSeed, nn, qnn, Tensor } from '../../lib/index.js'
import { judged, learn, type Outcome } from './recipe.js'

const side = 100
const points = side ** 2
const tested = 500

export function checkerboard(): { train: data.TensorDataset; test: data.TensorDataset } {
  const generator = new Generator(42)
  const noise = generator.normal([points, 2]).data
  const order = generator.permutation(points).data
  const x = new Float32Array(2 * points)
  const y = new Int32Array(points)
  const stripe = (position: number): number => Math.round((3 * position) / (side - 1)) % 2
  for (const [to, from] of order.entries()) {
    const place = [from % side, Math.floor(from / side)]
    for (const axis of [0, 1]) x[2 * to + axis] = place[axis] / (side - 1) + 0.01 * noise[2 * from + axis]
    y[to] = stripe(place[0]) ^ stripe(place[1])
  }
  const part = (from: number, to: number): data.TensorDataset =>
    new data.TensorDataset(new Tensor(x.slice(2 * from, 2 * to), [to - from, 2], 'float32'), new Tensor(y.slice(from, to), [to - from], 'int32'))
  return { test: part(0, tested), train: part(tested, points) }
}

/** Two hidden layers of 100 neurons, 3-bit codes and weights; `input` is the largest code of a coordinate: of 1 … 7 the best on a part of the training data. */
export const settings = [{ accumulatorBits: 7, input: 3, codes: 7, weightBits: 3, lr: 0.02, epochs: 30 }]

export async function trained(
  { lr, epochs, input, codes: max, ...widths }: (typeof settings)[number],
  seed: number,
  { train, test }: { train: data.Dataset; test: data.Dataset } = checkerboard(),
): Promise<Omit<Outcome, 'seconds'>> {
  manualSeed(seed)
  const loader = new data.DataLoader(train, { batchSize: 128, shuffle: true, dropLast: true, generator: new Generator(seed) })
  const model = new nn.Sequential(
    new qnn.Codes({ max: input }),
    new qnn.IntegerLinear(2, 100, widths),
    new qnn.Requantise(100, { max }),
    new qnn.IntegerLinear(100, 100, widths),
    new qnn.Requantise(100, { max }),
    new qnn.IntegerLinear(100, 2, widths),
    new qnn.Rescale(2),
  )
  const [[samples]] = new data.DataLoader(train, { batchSize: 500 })
  await learn(model, { loader, samples, epochs, lr })
  const [[x, y]] = new data.DataLoader(test, { batchSize: test.length })
  return judged(model, [x, y], widths.accumulatorBits)
}
