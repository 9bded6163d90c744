// LeNet on MNIST.
import { integerLeNet } from '../../examples/integerLeNet.js'
import { data, Generator, manualSeed } from '../../lib/index.js'
import { judged, learn, type Outcome } from './recipe.js'

export const settings = [
  { accumulatorBits: 8, codes: 7, weightBits: 3, lr: 0.1, epochs: 10 },
  { accumulatorBits: 10, codes: 7, weightBits: 4, lr: 0.1, epochs: 10 },
  { accumulatorBits: 12, codes: 15, weightBits: 4, lr: 0.1, epochs: 10 },
]

export async function trained({ lr, epochs, ...widths }: (typeof settings)[number], seed: number): Promise<Omit<Outcome, 'seconds'>> {
  manualSeed(seed)
  const { train, test } = data.mnist()
  const loader = new data.DataLoader(train, { batchSize: 128, shuffle: true, dropLast: true, generator: new Generator(seed), transform: data.scale(1) })
  const model = integerLeNet(widths)
  const [[samples]] = new data.DataLoader(train, { batchSize: 500, transform: data.scale(1) })
  await learn(model, { loader, samples, epochs, lr, warmUp: 0.05 })
  const [[x, y]] = new data.DataLoader(test, { batchSize: test.length, transform: data.scale(1) })
  return judged(model, [x, y], widths.accumulatorBits)
}
