// Writes RESULTS-cuda.md from the rows of `npm run check:cuda -- --json rows.json`:
//
//   node --import=tsx bench/cuda/report.ts rows.json "NVIDIA H200, driver 580" 2026-11-26 > bench/RESULTS-cuda.md
import { readFileSync } from 'node:fs'
import type { Row } from '../support/measure.js'

const [file, machine, date] = process.argv.slice(2)
// Rows through Node time calls that the checks have compared; rivals' rows may have none of ours beside them.
const rows = (JSON.parse(readFileSync(file, 'utf8')) as Row[]).filter(({ verified }) => verified !== false)
const time = (ms: number | null): string => (ms === null ? '' : ms < 0.1 ? `${(ms * 1000).toPrecision(3)} µs` : `${ms.toPrecision(3)} ms`)

console.log(`# Results on a GPU

${machine}; ${date}.

    npm run check:cuda -- --json rows.json && node --import=tsx bench/cuda/report.ts rows.json MACHINE DATE > bench/RESULTS-cuda.md

Medians by the device's own clock, results checked first. The ratio is the rival's time by ours: above 1 ours is the
faster. The limit is what the same bytes take in a copy within the device's memory, measured in the same run, or the
arithmetic at the chip's published rate.

| task | case | ours | rival | its time | ratio | of the limit |
|---|---|---|---|---|---|---|`)
for (const { task, case: name, oursMs, rival, rivalMs, ratio, limitFraction } of rows) {
  const against = rivalMs !== null && rivalMs > 0
  console.log(
    `| ${task} | ${name} | ${time(oursMs)} | ${against ? rival : ''} | ${against ? time(rivalMs) : ''} | ${against && ratio !== null ? `×${ratio.toFixed(2)}` : ''} | ${limitFraction !== null && limitFraction > 0 ? `${(100 * limitFraction).toFixed(0)}%` : ''} |`,
  )
}
