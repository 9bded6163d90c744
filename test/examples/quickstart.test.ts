import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'

interface Summary {
  floatAccuracy: number
  testAccuracy: number
  layers: { name: string; fanIn: number; maxActive: number; accumulatorBits: number; min: number; max: number; observedMin: number; observedMax: number }[]
  certified: boolean
  integerAgreement: number
  seconds: number
}

async function run(threads: number): Promise<Summary> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', 'examples/quickstart.ts', '--json'], {
    env: { ...process.env, ESPALIER_THREADS: String(threads) },
  })
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

test('the quickstart proves what it says, and two runs agree to the last digit, whatever the threads', async (t) => {
  t.timeout(300_000)
  const [one, two] = await Promise.all([run(1), run(2)])
  t.deepEqual({ ...one, seconds: 0 }, { ...two, seconds: 0 })

  t.true(one.floatAccuracy >= 0.97)
  t.true(one.testAccuracy >= 0.98)
  t.true(one.certified)
  t.is(one.integerAgreement, 1)
  t.deepEqual(
    one.layers.map(({ name, fanIn }) => [name, fanIn]),
    [
      ['conv1', 9],
      ['conv2', 72],
      ['conv3', 64],
      ['fc', 32],
    ],
  )
  for (const { fanIn, maxActive, accumulatorBits, min, max, observedMin, observedMax } of one.layers) {
    t.true(maxActive <= fanIn)
    t.true(accumulatorBits <= 8)
    t.true(min >= -(2 ** (accumulatorBits - 1)) && max < 2 ** (accumulatorBits - 1))
    t.true(min <= observedMin && observedMax <= max)
  }
})
