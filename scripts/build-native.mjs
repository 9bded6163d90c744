// Builds the addon into build/Release/espalier.node.
// Usage: node scripts/build-native.mjs [--if-needed]
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const addon = join(root, 'build/Release/espalier.node')

function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))))
}

if (process.argv.includes('--if-needed') && existsSync(addon)) {
  const sources = Math.max(newest(join(root, 'native')), newest(join(root, 'binding.gyp')))
  if (statSync(addon).mtimeMs >= sources) process.exit(0)
}

const gyp = join(root, 'node_modules/node-gyp/bin/node-gyp.js')
if (!existsSync(gyp)) {
  console.error('espalier: node-gyp is missing; run: npm ci')
  process.exit(1)
}
// Node's own headers, where its installation carries them: nothing needs to be downloaded then.
const prefix = dirname(dirname(process.execPath))
const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : []
const steps = existsSync(join(root, 'build/Makefile')) ? ['configure', 'build'] : ['rebuild']
console.error('espalier: building the native addon (once, about a minute) …')
for (const step of steps) {
  const run = spawnSync(process.execPath, [gyp, step, '--loglevel=error', ...headers, '-j', String(availableParallelism())], {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (run.status !== 0) {
    console.error('espalier: the build failed; a C++20 compiler, make and python3 are needed')
    process.exit(1)
  }
}
