// Networks in several worker threads of one process.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import { train } from './support/training.js'

interface Message {
  step?: number
  digest?: string
}

// A worker does not inherit the loader of TypeScript: it registers its own first.
const program = `import('tsx/esm/api').then(({ register }) => { register(); return import(${JSON.stringify(new URL('./support/worker.ts', import.meta.url).href)}) })`
const start = (steps: number): Worker => new Worker(program, { eval: true, workerData: { steps } })

const until = (worker: Worker, wanted: (message: Message) => boolean): Promise<Message> =>
  new Promise((resolve, reject) => {
    worker.on('message', (message: Message) => wanted(message) && resolve(message))
    worker.once('error', reject)
    worker.once('exit', (code) => reject(new Error(`the worker ended with ${code}`)))
  })

test.serial('two workers train at once, each to the bits that one alone reaches', async (t) => {
  const alone = train(6)
  const digests = await Promise.all([6, 6].map(async (steps) => (await until(start(steps), ({ digest }) => digest !== undefined)).digest))
  t.deepEqual(digests, [alone, alone])
})

test.serial('a worker ended in the middle of its work leaves the other, and the process, whole', async (t) => {
  const alone = train(40)
  const steady = until(start(40), ({ digest }) => digest !== undefined)
  for (let round = 0; round < 20; round++) {
    const doomed = start(1_000_000)
    const stopped = new Promise((resolve) => doomed.once('exit', resolve))
    // Some are ended while they load, the others between the first steps: in a kernel, more often than not.
    if (round % 4 !== 0) await until(doomed, ({ step }) => step === round % 3)
    await new Promise((resolve) => setTimeout(resolve, round % 7))
    await doomed.terminate()
    await stopped
  }
  t.is((await steady).digest, alone)
})

// (That it ends: how soon is the machine's affair.)
test('a process whose pool has worked ends by itself', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', 'test/support/training.ts', '1'], { timeout: 60_000 })
  t.regex(stdout, /^[0-9a-f]{64}\n$/)
})
