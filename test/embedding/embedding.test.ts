// The library in other programs: a C program without Node, and a second addon. Both know the header alone.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { native } from '../../lib/native/index.js'
import { agree, faultOf, network } from './network.js'

const require = createRequire(import.meta.url)
const root = fileURLToPath(new URL('../..', import.meta.url))
const embedding = require('espalier/native') as { include: string; library: string }
const folder = mkdtempSync(join(tmpdir(), 'espalier-embedding-'))
test.after.always(() => rmSync(folder, { recursive: true, force: true }))

const strict = ['-std=c99', '-Wall', '-Wextra', '-Wpedantic', '-Werror', `-I${embedding.include}`]

const built = join(root, 'build/Release/obj.target/espalier')

/** The objects of the addon's build that are the C library's; not those of sources that are gone. */
function* objects(folder = 'native'): Generator<string> {
  if (!existsSync(join(built, folder))) return
  for (const entry of readdirSync(join(built, folder), { withFileTypes: true })) {
    const name = `${folder}/${entry.name}`
    if (entry.isDirectory() && entry.name !== 'napi') yield* objects(name)
    else if (name.endsWith('.o') && existsSync(join(root, name.replace(/o$/, 'cc')))) yield join(built, name)
  }
}

test('the package says where its header and its library are', (t) => {
  t.true(existsSync(join(embedding.include, 'espalier.h')))
  t.true(existsSync(embedding.library))
})

const library = [...objects()]
// Where the addon was not built here, and on systems whose linkers go another way, scripts/native-test.mjs alone does this.
const here = process.platform === 'linux' && library.length > 0 ? test : test.skip

here('a C program runs a saved network', (t) => {
  const [object, program] = [join(folder, 'run.o'), join(folder, 'run')]
  execFileSync('cc', [...strict, '-c', join(root, 'examples/embedding/run.c'), '-o', object])
  execFileSync('c++', [object, ...library, '-lpthread', '-o', program])
  t.is(faultOf(program), null)
})

here('a second addon shares the library with the package', (t) => {
  const addon = join(folder, 'second.node')
  const headers = join(dirname(require.resolve('node-api-headers/package.json')), 'include')
  execFileSync('cc', [
    ...['-std=c11', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-DNAPI_VERSION=9', `-I${embedding.include}`, `-I${headers}`],
    ...[join(root, 'test/embedding/addon.c'), embedding.library, `-Wl,-rpath,${dirname(embedding.library)}`, '-o', addon],
  ])
  const second = require(addon) as {
    classify(file: Uint8Array, x: Float32Array, y: Float32Array): number
    relu(x: Float32Array): Float32Array
    threads(): number
  }
  const { bytes, x, expected } = network()
  const y = new Float32Array(expected.size)
  t.is(second.classify(bytes, x.data as Float32Array, y), 7)
  t.true(agree(y, expected.data))
  t.deepEqual([...second.relu(Float32Array.of(-1, 2))], [0, 2])
  t.throws(() => second.classify(bytes.subarray(1), x.data as Float32Array, y), { message: /does not begin as a program does/ })
  // One library in the process: what one sets the other sees.
  const before = native.threads()
  native.setThreads(3)
  t.is(second.threads(), 3)
  native.setThreads(before)
})
