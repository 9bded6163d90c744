// The quick ones of the pruning programs: they run, and their tables say what they should.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import test from 'ava'

/** The rows of the tables that a program prints, without their heads. */
async function tablesOf(program: string): Promise<string[][][]> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import=tsx', `examples/${program}.ts`])
  return stdout
    .split('┌')
    .slice(1)
    .map((table) =>
      table
        .split('\n')
        .filter((line) => line.startsWith('│'))
        .slice(1)
        .map((line) =>
          line
            .split('│')
            .slice(1, -1)
            .map((cell) => cell.trim()),
        ),
    )
}
const percent = (cell: string): number => Number(cell.replace('%', ''))

test('activeInputs: no neuron has more inputs than its cap, and 110 is reported as doing nothing', async (t) => {
  const [rows] = await tablesOf('activeInputs')
  t.deepEqual(
    rows.map(([active]) => Number(active)),
    [4, 8, 12, 24, 48, 110],
  )
  for (const [active, layers, accuracy, message] of rows) {
    for (const layer of layers.split(/ +/)) t.true(Number(layer.split('/')[0]) <= Number(active))
    t.true(percent(accuracy) > (Number(active) < 8 ? 60 : 85), `${active}: ${accuracy}`)
    t.is(message.startsWith('nothing pruned: active is 110'), active === '110')
  }
})

test('n2d2: a static threshold holds from the start, a gradual one grows to it', async (t) => {
  const [fixed, gradual] = await tablesOf('n2d2')
  for (const rows of [fixed, gradual])
    for (const [, threshold, ...cells] of rows)
      for (const masked of cells.slice(0, 2)) t.true(percent(masked) >= 100 * Number(threshold) - 0.05 && percent(masked) < 100 * Number(threshold) + 5)
  t.deepEqual([...new Set(fixed.map(([, threshold]) => threshold))], ['0.80'])
  t.deepEqual([...new Set(gradual.map(([, threshold]) => threshold))], ['0.10', '0.20', '0.30', '0.40', '0.50', '0.60', '0.70', '0.80'])
  t.true(percent(gradual.at(-1)!.at(-1)!) > 90)
})

test('dpu: kept filters learn as under ordinary pruning, masked ones only with units that are dynamic', async (t) => {
  const [filters, trainings] = await tablesOf('dpu')
  t.is(filters.filter(([, state]) => state === 'masked').length, 8)
  for (const [, state, ordinary, dynamic] of filters)
    if (state === 'yes') t.is(ordinary, dynamic)
    else t.true(Number(ordinary) === 0 && Number(dynamic) > 1e-3)
  const [[, , none, before], [, , returned, after]] = trainings
  t.is(none, '0')
  t.true(Number(returned) > 0)
  t.true(percent(before) > 85 && percent(after) > 85)
})
