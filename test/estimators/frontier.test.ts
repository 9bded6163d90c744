import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import {
  data,
  EspalierError,
  type FrontierOptions,
  type FrontierPoint,
  type FrontierRefusal,
  frontier,
  frontierChart,
  frontierCsv,
  nn,
  ops,
  qnn,
  type Tensor,
} from '../../lib/index.js'

const digits = data.digits()
const some = (part: data.Dataset, count: number): data.Dataset =>
  new data.Subset(
    part,
    Int32Array.from({ length: count }, (_, i) => i),
  )

const folder = mkdtempSync(join(tmpdir(), 'espalier-frontier-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

/** A small sweep, and how many networks it has made. */
function sweep(changes: Partial<FrontierOptions> = {}): { made: number; options: FrontierOptions } {
  const state = {
    made: 0,
    options: {
      network({ layer, activation, method, accumulatorBits }) {
        state.made++
        if (layer.accumulatorBits !== undefined) deepEqual([layer.accumulator, layer.accumulatorBits], [method, accumulatorBits])
        return new nn.Sequential(new nn.Flatten(), new qnn.QuantIdentity({ ...activation, signed: false }), new qnn.QuantLinear(64, 10, layer))
      },
      train: some(digits.train, 256),
      test: some(digits.test, 100),
      accumulatorBits: [5, 9],
      bits: [2, [4, 3]],
      seeds: [1, 2],
      epochs: 4,
      progress: false,
      ...changes,
    } as FrontierOptions,
  }
  return state
}

const deepEqual = (a: unknown, b: unknown): void => {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is not ${JSON.stringify(b)}`)
}
const isPoint = (result: FrontierPoint | FrontierRefusal): result is FrontierPoint => 'accuracy' in result
const timeless = (results: readonly (FrontierPoint | FrontierRefusal)[]): object[] => results.map((result) => ({ ...result, seconds: 0 }))

test('a point for every setting and seed, each within the width that it asked for; a refusal where no weight fits', async (t) => {
  const { options } = sweep()
  const results = await frontier(options)
  t.is(results.length, 2 * 2 * 4 * 2)
  t.is(
    new Set(results.map(({ method, accumulatorBits, weightBits, activationBits, seed }) => `${[method, accumulatorBits, weightBits, activationBits, seed]}`))
      .size,
    32,
  )
  for (const result of results)
    if (isPoint(result)) {
      t.true(result.provedBits <= result.accumulatorBits)
      t.true(result.activeInputs >= 0 && result.activeInputs <= 64)
      t.true(result.meanActiveInputs <= result.activeInputs)
    } else t.true(Number(/expected at least (\d+)$/.exec(result.refused)?.[1]) > result.accumulatorBits)
  t.deepEqual(
    results.filter((result) => !isPoint(result)).map(({ method, accumulatorBits, weightBits }) => [method, accumulatorBits, weightBits]),
    [
      ['fan-in', 5, 4],
      ['fan-in', 5, 4],
    ],
  )
  const best = Math.max(...results.filter(isPoint).map(({ accuracy }) => accuracy))
  t.true(best > 0.4, `${best}`)
})

test('an interrupted sweep goes on where it was, and ends as one that was not', async (t) => {
  const file = join(folder, 'state.jsonl')
  const whole = await frontier(sweep().options)

  const stop = new AbortController()
  const first = sweep({ file, signal: stop.signal, progress: ({ done, runs }) => void (runs === 32 && done === 5 && stop.abort()) })
  const before = await frontier(first.options)
  t.is(before.length, 5)
  t.is(readFileSync(file, 'utf8').trim().split('\n').length, 5)

  // Killed in the middle of a training, and in the middle of a line.
  const killed = new AbortController()
  let steps = 0
  const loss = (output: Tensor, target: Tensor): Tensor => {
    if (++steps === 6) killed.abort()
    return ops.crossEntropy(output, target)
  }
  const second = await frontier(sweep({ file, signal: killed.signal, loss }).options)
  t.deepEqual([second.length, steps], [5, 6])
  const settled = readFileSync(file, 'utf8')
  appendFileSync(file, '{"key":"budget P9 w2 a2 se')

  const third = sweep({ file })
  const after = await frontier(third.options)
  t.is(third.made, whole.filter(isPoint).length - before.filter(isPoint).length)
  t.deepEqual(timeless(after), timeless(whole))
  t.true(readFileSync(file, 'utf8').startsWith(settled))

  const fourth = sweep({ file })
  t.deepEqual(await frontier(fourth.options), after)
  t.is(fourth.made, 0)
  // What decides a result is part of its key.
  const other = sweep({ file, epochs: 1, accumulatorBits: [9], bits: [2], seeds: [1], methods: ['fan-in'] })
  await frontier(other.options)
  t.is(other.made, 1)
})

test('a file of something else is refused and stays as it is', async (t) => {
  const file = join(folder, 'other.jsonl')
  for (const content of ['hello\n', '{"key":"x"}\n', '3\n']) {
    writeFileSync(file, content)
    await t.throwsAsync(frontier(sweep({ file }).options), { instanceOf: EspalierError, code: 'FORMAT', message: /line 1 of .* is no result/ })
    t.is(readFileSync(file, 'utf8'), content)
  }
})

test('bad settings are refused before anything is trained', async (t) => {
  for (const changes of [
    { accumulatorBits: [1] },
    { bits: [9] },
    { methods: ['none' as never] },
    { epochs: 0 },
    { seeds: [-1] },
    { lr: Number.NaN },
  ] as Partial<FrontierOptions>[]) {
    const state = sweep(changes)
    await t.throwsAsync(frontier(state.options), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
    t.is(state.made, 0)
  }
})

const setting = { accumulatorBits: 8, weightBits: 3, activationBits: 3, meanActiveInputs: 5.5, seconds: 1.25 }
const results: (FrontierPoint | FrontierRefusal)[] = [
  { ...setting, method: 'budget', seed: 1, accuracy: 0.96, provedBits: 8, activeInputs: 21 },
  { ...setting, method: 'budget', seed: 2, accuracy: 0.98, provedBits: 7, activeInputs: 22 },
  { ...setting, method: 'fan-in', seed: 1, accuracy: 0.9, provedBits: 8, activeInputs: 12 },
  { ...setting, method: 'fan-in', seed: 2, refused: 'accumulatorBits is 8: …' },
]

test('the table has a line a point', (t) => {
  t.is(
    frontierCsv(results),
    `method,accumulator_bits,weight_bits,activation_bits,seed,accuracy,proved_bits,active_inputs,mean_active_inputs,seconds
budget,8,3,3,1,0.960000,8,21,5.500,1.3
budget,8,3,3,2,0.980000,7,22,5.500,1.3
fan-in,8,3,3,1,0.900000,8,12,5.500,1.3
`,
  )
})

test('the figure shows means over seeds and the references, and renders', async (t) => {
  const references = [{ label: 'theirs', accuracy: 0.955, accumulatorBits: 10, activeInputs: 12 }]
  const chart = frontierChart(results, { title: 'A sweep', references, referenceName: 'Concrete ML' })
  const [inputs, bits] = chart.hconcat as { layer: { data: { values: Record<string, unknown>[] } }[] }[]
  for (const { layer } of [inputs, bits])
    t.deepEqual(layer[2].data.values, [
      { method: 'budget', codes: '3/3', provedBits: 8, activeInputs: 22, accuracy: 97, mostErrors: 4, leastErrors: 2, error: 3 },
      { method: 'fan-in', codes: '3/3', provedBits: 8, activeInputs: 12, accuracy: 90, mostErrors: 10, leastErrors: 10, error: 10 },
    ])
  t.deepEqual(
    inputs.layer[0].data.values.map(({ method }) => method),
    ['budget', 'fan-in'],
  )
  const svg = await new View(parse(compile(chart as unknown as TopLevelSpec).spec), { renderer: 'none' }).toSVG()
  for (const text of ['A sweep', 'theirs', 'Concrete ML', 'budget', 'fan-in', 'accumulator bits, proved', 'most active inputs of any neuron'])
    t.true(svg.includes(text), text)
})
