// Writes RESULTS.md, or a section of it, from the last line of `npm run -s bench -- --json`:
//
//   npm run -s bench -- --json | tail -1 | node --import=tsx bench/report.ts > bench/RESULTS.md
//   npm run -s bench -- accuracy --json | tail -1 | node --import=tsx bench/report.ts accuracy >> bench/RESULTS.md
import { existsSync, readFileSync } from 'node:fs'
import { cpus, type } from 'node:os'
import type { AccumulatorRow } from './accumulators/study.js'
import type { AccuracyRow } from './accuracy/study.js'
import type { Row } from './support/measure.js'

const tasks = process.argv.slice(2).join(' ')
const rows = JSON.parse(readFileSync(0, 'utf8')) as (Row | AccuracyRow | AccumulatorRow)[]
const timed = rows.filter((row): row is Row => 'oursMs' in row)
const studied = rows.filter((row): row is AccuracyRow => row.task === 'accuracy' && 'accuracy' in row)
const proved = rows.filter((row): row is AccumulatorRow => row.task === 'accumulators' && 'mean' in row)
const time = (ms: number): string => (ms < 0.1 ? `${(ms * 1000).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`)
const cell = (value: number | null, show: (value: number) => string): string => (value === null ? '' : show(value))
const percent = (share: number): string => `${(100 * share).toFixed(2)}%`

/** What the name of a model leaves open, where the system tells it. */
const family = (): string => {
  const told = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : ''
  const [, number = ''] = /^cpu family\s*: (\d+)$/m.exec(told) ?? []
  return number === '' ? '' : ` (family ${number})`
}
const machine = [
  `${cpus()[0].model.trim()}${family()}, ${type()}, Node ${process.versions.node}`,
  timed.length > 0 ? `${timed[0].isa}, ${timed[0].threads} thread(s)` : '',
]
console.log(`${tasks === '' ? '# Results' : `\n## ${tasks[0].toUpperCase()}${tasks.slice(1)}`}

${[...machine, new Date().toISOString().slice(0, 10)].filter((part) => part !== '').join('; ')}.

    npm run -s bench -- ${tasks === '' ? '' : `${tasks} `}--json | tail -1 | node --import=tsx bench/report.ts ${tasks === '' ? '>' : `${tasks} >>`} bench/RESULTS.md`)

if (timed.length > 0) {
  console.log(`
Medians of one run, ours and the rival by turns, results checked first. The ratio is the rival's time by
ours: above 1 ours is the faster. The limit is what a probe reached in the same run: multiply-adds, or
bytes read.

| task | case | ours | rival | its time | ratio | of the limit | checked |
|---|---|---|---|---|---|---|---|`)
  for (const { task, case: name, oursMs, rival, rivalMs, ratio, limitFraction, verified } of timed)
    console.log(
      `| ${task} | ${name} | ${time(oursMs)} | ${rival} | ${cell(rivalMs, time)} | ${cell(ratio, (value) => `×${value.toFixed(2)}`)} | ${cell(limitFraction, (value) => `${(100 * value).toFixed(0)}%`)} | ${verified ? 'yes' : 'NO'} |`,
    )
}

if (studied.length > 0) {
  console.log(`
LeNet on MNIST, ${studied[0].training}; means over seeds, and their standard deviation. Points are what the
accuracy is above that of the dense network.

| pruning | zeros | test accuracy | ± | points | seeds |
|---|---|---|---|---|---|`)
  for (const { case: name, sparsity, accuracy, deviation, points, seeds } of studied)
    console.log(
      `| ${name} | ${percent(sparsity)} | ${percent(accuracy)} | ${(100 * deviation).toFixed(2)} | ${points.toFixed(2).replace('-', '−')} | ${seeds} |`,
    )
}

if (proved.length > 0) {
  console.log(`
Test accuracy of networks in whole numbers. Every accumulator of every layer, bias included, is proved to fit the
width from the integer weights alone, and exact integers give the same logits on the whole test set; else there
would be no row. Active: the most inputs that a neuron uses, layer by layer.

| task | proved bits | mean | least | seeds | active | setting |
|---|---|---|---|---|---|---|`)
  for (const { case: name, bits, mean, min, seeds, active, setting } of proved)
    console.log(`| ${name} | ${bits} | ${percent(mean)} | ${percent(min)} | ${seeds} | ${active.join(', ')} | ${setting} |`)
}
