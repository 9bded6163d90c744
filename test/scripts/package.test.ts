import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import test from 'ava'

// What is told to whoever installed the package has to work there.

const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { encoding: 'utf8' })
const files = new Set((JSON.parse(packed.stdout) as { files: { path: string }[] }[])[0].files.map(({ path }) => path))
const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> }

/** A script and all that it imports of ours. */
function needed(path: string, known = new Set<string>()): Set<string> {
  if (known.has(path)) return known
  known.add(path)
  for (const [, name] of readFileSync(path, 'utf8').matchAll(/^import .*'(\.[^']*)'/gm)) needed(posix.join(posix.dirname(path), name), known)
  return known
}

const sources = (readdirSync('lib', { recursive: true }) as string[]).filter((name) => name.endsWith('.ts')).map((name) => readFileSync(`lib/${name}`, 'utf8'))
const told = new Set(sources.flatMap((text) => [...text.matchAll(/npm run ([\w:]+) --prefix/g)].map(([, name]) => name)))

test('the package was listed', (t) => {
  t.is(packed.status, 0, packed.stderr)
  t.true(files.has('native/include/espalier.h') && files.has('native/cuda/cuda.cmake') && !files.has('native/test/c99.c'))
})

test('every command that the library names can be run where it is installed', (t) => {
  t.true(told.has('build:cuda'), 'none is named')
  for (const name of told) {
    const script = /^node (scripts\/[\w-]+\.mjs)/.exec(scripts[name] ?? '')?.[1]
    if (script === undefined) {
      t.fail(`npm run ${name} is no script of ours`)
      continue
    }
    for (const file of needed(script)) t.true(files.has(file), `npm run ${name} needs ${file}, which the package lacks`)
  }
})

test('scripts in the package find each other', (t) => {
  const carried = [...files].filter((file) => /^scripts\/.*\.mjs$/.test(file))
  t.true(carried.includes('scripts/build-native.mjs'))
  for (const script of carried) for (const file of needed(script)) t.true(files.has(file), `${script} needs ${file}, which the package lacks`)
})

test('CMake is told of no file that the package lacks, but for tests', (t) => {
  const lists = ['native/CMakeLists.txt', 'native/cuda/cuda.cmake', ...needed('scripts/build-cuda.mjs')]
  for (const list of lists) t.true(files.has(list), list)
  const text = readFileSync('native/CMakeLists.txt', 'utf8')
  for (const [, script] of text.matchAll(/(scripts\/[\w-]+\.mjs)/g)) t.true(files.has(script), `native/CMakeLists.txt runs ${script}`)
  t.true(files.has('native/espalier-config.cmake'))
})
