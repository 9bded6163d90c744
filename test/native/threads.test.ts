// The same bits from any number of threads.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'
import { native } from '../../lib/native/index.js'

const run = promisify(execFile)

async function underThreads(threads: number, ...script: string[]): Promise<string> {
  const { stdout } = await run(process.execPath, ['--import=tsx', ...script], { env: { ...process.env, ESPALIER_THREADS: String(threads) } })
  return stdout.trim()
}

test('a network trains to the same bits with 1, 2, 3 and 8 threads', async (t) => {
  const digests: string[] = []
  for (const threads of [1, 2, 3, 8]) digests.push(await underThreads(threads, 'test/support/training.ts', '3'))
  t.regex(digests[0], /^[0-9a-f]{64}$/)
  t.deepEqual(digests, Array(4).fill(digests[0]))
})

test('ESPALIER_THREADS says how many', async (t) => {
  const print = "import { native } from './lib/native/index.js'; console.log(native.threads())"
  t.is(await underThreads(3, '--input-type=module', '-e', print), '3')
})

test('an instruction set that is not there is refused when a kernel is called', async (t) => {
  const script = "import { native } from './lib/native/index.js'; native.accumulate(new Float32Array(1), new Float32Array(1))"
  const env = { ...process.env, ESPALIER_ISA: 'abacus' }
  const { stderr } = await t.throwsAsync<Error & { stderr: string }>(
    run(process.execPath, ['--import=tsx', '--input-type=module', '-e', script], { env }) as unknown as Promise<unknown>,
  )
  t.regex(stderr, /ESPALIER_ISA is "abacus"; this processor and build have .*baseline/)
})

test('the number of threads may change between calls, and nothing else about a result', (t) => {
  const before = native.threads()
  const x = Float32Array.from({ length: 1 << 18 }, (_, i) => Math.sin(i))
  const results = [1, 2, 3, 8].map((threads) => {
    native.setThreads(threads)
    const total = new Float32Array(1)
    native.sum([x.length], [1], 1, x, total)
    return total[0]
  })
  native.setThreads(before)
  t.deepEqual(results, Array(4).fill(results[0]))
})
