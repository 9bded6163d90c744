// Packs what a checkout lacks to run scripts/check-cuda.mjs on a machine that has CUDA's toolkit, CMake and
// ninja, but neither npm nor network: Node, the packages and headers, and the library compiled to JavaScript.
// Usage: node scripts/carry-cuda.mjs, then carry build-carry with the checkout, and there in its root:
//   bash build-carry/run.sh [architecture, default 90a] [folder for logs and rows, default build-carry/out]
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { bin, node, root, Steps } from './steps.mjs'

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
writeFileSync(`${tree}/build-carry/js/package.json`, JSON.stringify({ name: 'espalier', type: 'module' }))
cpSync(`${root}data`, `${tree}/build-carry/js/data`, { recursive: true })
pack('library.tar.xz', 'node_modules', 'build-carry/js')
// Packing Node takes a while, and it is the same each time.
if (!existsSync(`${folder}/node.tar.xz`)) {
  cpSync(process.execPath, `${tree}/build-carry/node`, { dereference: true })
  steps.run('strip', 'strip', [`${tree}/build-carry/node`], { quiet: true })
  pack('node.tar.xz', 'build-carry/node')
}
rmSync(tree, { recursive: true })

writeFileSync(
  `${folder}/run.sh`,
  `#!/usr/bin/env bash
# Builds for one architecture and checks everything; run in the root of the checkout.
set -uo pipefail
architecture=\${1:-90a} out=$(realpath -m "\${2:-build-carry/out}")
mkdir -p "$out"
for packed in build-carry/*.tar.xz; do python3 -m tarfile -e "$packed" . || exit 1; done
export PATH=$PWD/build-carry:/usr/local/cuda/bin:$PATH
headers="$PWD/node_modules/node-api-headers/include;$PWD/node_modules/node-addon-api"
began=$SECONDS
cmake -G Ninja -S native -B build-cuda -DESPALIER_CUDA=ON -DESPALIER_CUDA_ARCHITECTURES=$architecture -DCMAKE_JS_INC="$headers" > "$out/build.log" 2>&1
ninja -C build-cuda -k 0 espalier_cuda_check espalier_cuda_addon espalier_addon >> "$out/build.log" 2>&1 || grep -E "error|FAILED" "$out/build.log" | head -40
echo "built in $((SECONDS - began)) s"
exec node scripts/check-cuda.mjs --js build-carry/js --logs "$out/logs" --json "$out/rows.json"
`,
)
chmodSync(`${folder}/run.sh`, 0o755)
steps.finish()
