// Packs what a checkout lacks to run scripts/check-cuda.mjs on a machine that has CUDA's toolkit, CMake and
// ninja, but neither npm nor network: Node, the packages and headers, the library compiled to JavaScript, and what
// is built here already, so that a machine lent for minutes need not compile.
// Usage: node scripts/carry-cuda.mjs [--built build-cuda], then carry build-carry with the checkout, and there in its root:
//   bash build-carry/run.sh [architecture, default 90a] [folder for logs and rows, default build-carry/out] [options of check-cuda.mjs]
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { bin, node, root, Steps } from './steps.mjs'

const { values } = parseArgs({ options: { built: { type: 'string', default: 'build-cuda' } } })
const steps = new Steps()
const folder = `${root}build-carry`
const tree = `${folder}/tree`
rmSync(tree, { recursive: true, force: true })
mkdirSync(`${tree}/build-carry`, { recursive: true })

/** Packs some of what stands in the tree. */
function pack(name, ...what) {
  const file = `${folder}/${name}`
  steps.run(`pack ${name}`, 'tar', ['-C', tree, '-I', 'xz -T0 -3', '-cf', file, ...what], { quiet: true })
  console.log(`build-carry/${name}: ${(statSync(file).size / 2 ** 20).toFixed(1)} MiB`)
}

/** A package and what it needs. */
function carryPackage(name, known = new Set()) {
  if (known.has(name)) return
  known.add(name)
  cpSync(`${root}node_modules/${name}`, `${tree}/node_modules/${name}`, { recursive: true, dereference: true })
  for (const other of Object.keys(JSON.parse(readFileSync(`${root}node_modules/${name}/package.json`, 'utf8')).dependencies ?? {})) carryPackage(other, known)
}
for (const name of ['cli-progress', 'cli-table3', 'node-gyp-build', 'node-addon-api', 'node-api-headers']) carryPackage(name)

writeFileSync(`${folder}/tsconfig.json`, JSON.stringify({ extends: '../tsconfig.json', include: [], files: ['../test/cuda/run.ts'] }))
const compile = ['-p', `${folder}/tsconfig.json`, '--noEmit', 'false', '--rootDir', root, '--outDir', `${tree}/build-carry/js`]
steps.run('compile', node, [bin('typescript', 'bin/tsc'), ...compile], { quiet: true })
writeFileSync(`${tree}/build-carry/js/package.json`, JSON.stringify({ name: 'espalier', type: 'module', exports: './lib/index.js' }))
cpSync(`${root}data`, `${tree}/build-carry/js/data`, { recursive: true })
pack('library.tar.xz', 'node_modules', 'build-carry/js')
// Packing Node takes a while, and it is the same each time.
if (!existsSync(`${folder}/node.tar.xz`)) {
  cpSync(process.execPath, `${tree}/build-carry/node`, { dereference: true })
  steps.run('strip', 'strip', [`${tree}/build-carry/node`], { quiet: true })
  pack('node.tar.xz', 'build-carry/node')
}
carryBuilt(`${root}${values.built}`)
rmSync(tree, { recursive: true })

/** The program and the addons, where they are built, and for which architectures. */
function carryBuilt(from) {
  rmSync(`${folder}/built.tar.xz`, { force: true })
  const files = { espalier_cuda_check: `${from}/espalier_cuda_check`, 'build/Release/espalier_cuda.node': `${from}/build/Release/espalier_cuda.node` }
  const built = { ...files, 'build/Release/espalier.node': `${root}build/Release/espalier.node` }
  const missing = Object.values(built).filter((file) => !existsSync(file))
  if (missing.length > 0) {
    console.log(`it has to be built there: ${missing.join(', ')} missing here`)
    return
  }
  for (const [name, file] of Object.entries(built)) {
    cpSync(file, `${tree}/build-cuda/${name}`)
    steps.run(`strip ${name}`, 'strip', ['--strip-unneeded', `${tree}/build-cuda/${name}`], { quiet: true })
  }
  const [, architectures] = /^ESPALIER_CUDA_ARCHITECTURES:\w+=(.*)$/m.exec(readFileSync(`${from}/CMakeCache.txt`, 'utf8'))
  writeFileSync(`${tree}/build-cuda/architectures`, `${architectures.split(';').join('\n')}\n`)
  pack('built.tar.xz', 'build-cuda')
}

writeFileSync(
  `${folder}/run.sh`,
  `#!/usr/bin/env bash
# Builds for one architecture, unless what was carried runs here, and checks everything; run in the root of the checkout.
set -uo pipefail
architecture=\${1:-90a} out=$(realpath -m "\${2:-build-carry/out}")
mkdir -p "$out"
for packed in build-carry/*.tar.xz; do python3 -m tarfile -e "$packed" . || exit 1; done
export PATH=$PWD/build-carry:/usr/local/cuda/bin:$PATH
headers="$PWD/node_modules/node-api-headers/include;$PWD/node_modules/node-addon-api"
began=$SECONDS
if grep -qsx "$architecture" build-cuda/architectures && build-cuda/espalier_cuda_check --no-checks && node -e 'require("./build-cuda/build/Release/espalier.node"); require("./build-cuda/build/Release/espalier_cuda.node")'; then
  echo "what was carried runs here"
else
  cmake -G Ninja -S native -B build-cuda -DESPALIER_CUDA=ON -DESPALIER_CUDA_ARCHITECTURES=$architecture -DCMAKE_JS_INC="$headers" > "$out/build.log" 2>&1
  ninja -C build-cuda -k 0 espalier_cuda_check espalier_cuda_addon espalier_addon >> "$out/build.log" 2>&1 || grep -E "error|FAILED" "$out/build.log" | head -40
  echo "built in $((SECONDS - began)) s"
fi
exec node scripts/check-cuda.mjs --js build-carry/js --logs "$out/logs" --json "$out/rows.json" "\${@:3}"
`,
)
chmodSync(`${folder}/run.sh`, 0o755)
steps.finish()
