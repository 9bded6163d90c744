// Checks the library on a GPU and, with --bench, times it there.
// Usage: run [--bench] [--no-checks] [--only text,…] [--except text,…] [--json file]
import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { cuda } from '../../lib/index.js'
import { runChecks } from './harness.js'
import './operations.js'
import './tensors.js'
import './training.js'
import './compression.js'
import './masked.js'
import './convolutions.js'
import './programs.js'
import { benches } from './bench.js'

const { values } = parseArgs({
  options: { bench: { type: 'boolean' }, 'no-checks': { type: 'boolean' }, only: { type: 'string' }, except: { type: 'string' }, json: { type: 'string' } },
})
const why = cuda.whyMissing()
if (why !== null) console.log(`nothing was checked: ${why}\n0 passed, 0 failed`)
else {
  if (!values['no-checks'] && !(await runChecks(values.only, values.except))) process.exitCode = 1
  if (values.bench) {
    const rows = benches()
    for (const { task, case: name, oursMs } of rows) console.log(`  ${task.padEnd(28)} ${name.padEnd(44)} ${oursMs.toFixed(4)} ms`)
    if (values.json !== undefined) writeFileSync(values.json, JSON.stringify(rows, null, 1))
  }
}
