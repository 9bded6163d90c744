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

// The resident set swings by some megabytes with what waits for the garbage collector: medians of a thousand steps, and
// what three stretches grow together. Those before them fill heaps and caches.
const levels: number[] = []
for (const stretch of [4000, 2000, 2000, 2000]) levels.push(median(steps(stretch).slice(-100)))
console.log((levels[3] - levels[0]) / 3)
