import { readFileSync } from 'node:fs'
import test from 'ava'
import { ops } from '../../lib/index.js'

test('docs/operations.md names every operation, and none that is not there', (t) => {
  const page = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')
  const tables = page.split('\n').filter((line) => line.startsWith('| `'))
  const named = new Set(tables.flatMap((line) => [...line.split('|')[1].matchAll(/`(\w+)/g)].map((match) => match[1])))
  const exported = new Set(Object.entries(ops).flatMap(([name, value]) => (typeof value === 'function' ? [name] : [])))
  t.deepEqual(
    [...exported].filter((name) => !named.has(name)),
    [],
    'missing on the page',
  )
  t.deepEqual(
    [...named].filter((name) => !exported.has(name)),
    [],
    'only on the page',
  )
})
