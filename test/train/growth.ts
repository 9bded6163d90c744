// Trains a small network for stretches of 2,000 steps without a dispose, and prints by how many bytes
// the resident set grows in one, after a warm-up. Run by memory.test.ts in a process of its own.
import { Generator, nn, ops, optim, rand, tensor } from '../../lib/index.js'

const generator = new Generator(1)
const model = new nn.Sequential(
  new nn.Conv2d(1, 8, 3, { generator }),
  new nn.BatchNorm2d(8),
  new nn.ReLU(),
  new nn.Conv2d(8, 16, 3, { stride: 2, generator }),
  new nn.ReLU(),
  new nn.Flatten(),
  new nn.Linear(64, 10, { generator }),
)
const optimizer = new optim.Adam(model.parameters())
const x = rand([64, 1, 8, 8])
const y = tensor(Int32Array.from({ length: 64 }, (_, i) => i % 10))

/** One loop that never yields: memory must come back without the event loop's help. Gives the resident set every ten steps. */
function steps(count: number): number[] {
  const samples: number[] = []
  for (let i = 0; i < count; i++) {
    const loss = ops.crossEntropy(model.forward(x), y)
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    if (i % 10 === 0) samples.push(process.memoryUsage.rss())
  }
  return samples
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]

// The resident set swings by what waits for the garbage collector, so that medians are compared; and V8
// once in a while doubles its young generation by a step of 16 MB. A leak grows in every stretch:
// the middle one of three tells.
const levels = [median(steps(1000).slice(-100))]
for (let stretch = 0; stretch < 3; stretch++) levels.push(median(steps(2000).slice(-100)))
console.log(median(levels.slice(1).map((level, i) => level - levels[i])))
