// A worker that has runs of a program under way all the time.
import { parentPort } from 'node:worker_threads'
import { compile, nn, rand } from '../../lib/index.js'

const program = compile(new nn.Sequential(new nn.Conv2d(3, 16, 3), new nn.ReLU(), new nn.Conv2d(16, 16, 3)), { input: [3, 24, 24] })
const x = rand([16, 3, 24, 24])
for (let round = 0; ; round++) {
  const runs = Array.from({ length: 8 }, () => program.runAsync(x))
  parentPort?.postMessage(round)
  await Promise.all(runs)
}
