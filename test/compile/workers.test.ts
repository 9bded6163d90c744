import { Worker } from 'node:worker_threads'
import test from 'ava'
import { compile, nn, rand } from '../../lib/index.js'

// A worker does not inherit the loader of TypeScript: it registers its own first.
const source = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(new URL('./worker.ts', import.meta.url).href)}) })`

test('a worker ended with runs under way leaves the process, and the runs of others, whole', async (t) => {
  const program = compile(new nn.Linear(50, 10), { input: [50] })
  const x = rand([40, 50])
  const expected = program.run(x).data
  for (let i = 0; i < 4; i++) {
    const doomed = new Worker(source, { eval: true })
    const ended = new Promise((resolve) => doomed.once('exit', resolve))
    await new Promise((resolve, reject) => {
      doomed.once('error', reject)
      doomed.on('message', (round: number) => round >= i % 3 && resolve(round))
    })
    const run = program.runAsync(x)
    await doomed.terminate()
    await ended
    t.deepEqual((await run).data, expected)
  }
})
