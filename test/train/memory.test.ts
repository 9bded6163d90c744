import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import test from 'ava'

test('2,000 training steps grow the resident set by less than 5 MB', (t) => {
  // A young generation of one size, for V8 would double it at some point, by 16 MB.
  const flags = ['--min-semi-space-size=16', '--max-semi-space-size=16', '--import=tsx']
  const grown = Number(execFileSync(process.execPath, [...flags, fileURLToPath(new URL('growth.ts', import.meta.url))], { encoding: 'utf8' }))
  t.true(grown < 5e6, `${(grown / 1e6).toFixed(1)} MB`)
})
