// Writes RESULTS.md from the last line of `npm run -s bench -- --json`:
//
//   npm run -s bench -- --json | tail -1 | node --import=tsx bench/report.ts > bench/RESULTS.md
import { readFileSync } from 'node:fs'
import { cpus, type } from 'node:os'
import type { Row } from './support/measure.js'

const rows = JSON.parse(readFileSync(0, 'utf8')) as Row[]
const time = (ms: number): string => (ms < 0.1 ? `${(ms * 1000).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`)
const cell = (value: number | null, show: (value: number) => string): string => (value === null ? '' : show(value))

console.log(`# Results

${cpus()[0].model.trim()}, ${type()}, Node ${process.versions.node}; ${rows[0].isa}, ${rows[0].threads} thread(s); ${new Date().toISOString().slice(0, 10)}.

    npm run -s bench -- --json | tail -1 | node --import=tsx bench/report.ts > bench/RESULTS.md

Medians of one run, ours and the rival by turns, results checked first. The ratio is the rival's time by
ours: above 1 ours is the faster. The limit is what a probe reached in the same run: multiply-adds, or
bytes read.

| task | case | ours | rival | its time | ratio | of the limit | checked |
|---|---|---|---|---|---|---|---|`)
for (const { task, case: name, oursMs, rival, rivalMs, ratio, limitFraction, verified } of rows)
  console.log(
    `| ${task} | ${name} | ${time(oursMs)} | ${rival} | ${cell(rivalMs, time)} | ${cell(ratio, (value) => `×${value.toFixed(2)}`)} | ${cell(limitFraction, (value) => `${(100 * value).toFixed(0)}%`)} | ${verified ? 'yes' : 'NO'} |`,
  )
