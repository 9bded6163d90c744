// A small network trained for some steps, and a digest of the bits it ends with: what must not depend on
// threads, on workers beside it, or on what ran before.
import { createHash } from 'node:crypto'
import { Generator, manualSeed, nn, ops, optim, tensor } from '../../lib/index.js'

/** Convolution, batch norm, pooling, two linear layers: one of each kind of kernel, in sizes that use several threads. */
export function train(steps: number, afterStep?: (step: number) => void): string {
  manualSeed(3)
  const random = new Generator(5)
  const model = new nn.Sequential(
    new nn.Conv2d(1, 16, 3, { padding: 1 }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(16 * 14 * 14, 120),
    new nn.ReLU(),
    new nn.Linear(120, 10),
  )
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
  const labels = tensor(
    Int32Array.from({ length: 32 }, (_, i) => i % 10),
    [32],
  )
  let last = Number.NaN
  for (let step = 0; step < steps; step++) {
    const loss = ops.crossEntropy(model.forward(random.normal([32, 1, 28, 28])), labels)
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    last = loss.item()
    afterStep?.(step)
  }
  const hash = createHash('sha256').update(String(last))
  for (const { data } of model.parameters()) hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength))
  return hash.digest('hex')
}

// As a program: prints the digest, for runs under another environment.
if (process.argv[1]?.endsWith('test/support/training.ts')) console.log(train(Number(process.argv[2] ?? 3)))
