// Packs what scripts/check-cuda.mjs needs on a machine that has a GPU and a driver, but neither npm nor
// network: the built programs, the compiled library, its dependencies and Node itself.
// Usage: node scripts/carry-cuda.mjs, after scripts/build-native.mjs and scripts/build-cuda.mjs
// Then, over there, beside the file:
//   python3 -m tarfile -e carry.tar.xz . && carry/node carry/scripts/check-cuda.mjs --json rows.json --logs logs
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { bin, node, root, Steps } from './steps.mjs'

const steps = new Steps()
const folder = `${root}build-carry`
const carry = `${folder}/carry`
rmSync(carry, { recursive: true, force: true })
mkdirSync(carry, { recursive: true })

const copy = (from, to = from) => cpSync(`${root}${from}`, `${carry}/${to}`, { recursive: true, dereference: true })
for (const file of ['build/Release/espalier.node', 'build-cuda/build/Release/espalier_cuda.node', 'build-cuda/espalier_cuda_check'])
  if (existsSync(`${root}${file}`)) copy(file)
  else throw new Error(`${file} is missing; build it first`)
for (const file of ['scripts/check-cuda.mjs', 'bench/cuda/rivals.py', 'data', 'LICENSE']) copy(file)
writeFileSync(`${carry}/package.json`, JSON.stringify({ type: 'module' }))

/** A package and what it needs. */
function dependency(name, known = new Set()) {
  if (known.has(name)) return
  known.add(name)
  copy(`node_modules/${name}`)
  for (const other of Object.keys(JSON.parse(readFileSync(`${root}node_modules/${name}/package.json`, 'utf8')).dependencies ?? {})) dependency(other, known)
}
for (const name of ['cli-progress', 'cli-table3', 'node-gyp-build']) dependency(name)

// Library and checks side by side, as in a checkout.
const compile = ['-p', 'tsconfig.json', '--noEmit', 'false', '--rootDir', '.', '--outDir', carry]
steps.run('compile', node, [bin('typescript', 'bin/tsc'), ...compile], { quiet: true })
for (const part of ['examples', 'bench/gemm', 'bench/conv']) rmSync(`${carry}/${part}`, { recursive: true, force: true })
cpSync(process.execPath, `${carry}/node`)
steps.run('strip', 'strip', [`${carry}/node`, `${carry}/build-cuda/espalier_cuda_check`], { quiet: true })
steps.run('pack', 'tar', ['-C', folder, '-I', 'xz -T0 -6', '-cf', `${folder}/carry.tar.xz`, 'carry'], { quiet: true })
console.log(`build-carry/carry.tar.xz: ${(statSync(`${folder}/carry.tar.xz`).size / 2 ** 20).toFixed(1)} MiB`)
steps.finish()
