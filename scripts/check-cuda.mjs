// Everything that is checked on a GPU: the native program, the library through Node, compute-sanitizer, the
// benches, and PyTorch beside them where python3 has it. Without a GPU it says so and nothing fails.
// Usage: node scripts/check-cuda.mjs [--json file] [--logs folder] [--only text] [--no-bench] [--js folder] [--join folder]
//   --json   writes the rows of the benches, rivals joined to them, for bench/RESULTS.md
//   --logs   keeps what each part printed
//   --only   checks and benches whose names hold the text
//   --join   only joins what an earlier run left in such a folder of logs, and prints it
//   --js     where the library stands compiled to JavaScript, on a machine without npm; see scripts/carry-cuda.mjs
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: {
    json: { type: 'string' },
    logs: { type: 'string' },
    only: { type: 'string', default: '' },
    'no-bench': { type: 'boolean' },
    js: { type: 'string' },
    join: { type: 'string' },
  },
})
const kept = values.join ?? values.logs
const logs = kept === undefined ? mkdtempSync(join(tmpdir(), 'espalier-cuda-')) : resolve(kept)
mkdirSync(logs, { recursive: true })
const program = join(root, 'build-cuda/espalier_cuda_check')
const addon = join(root, 'build-cuda/build/Release/espalier_cuda.node')
const only = values.only === '' ? [] : ['--only', values.only]
const bench = values['no-bench'] ? [] : ['--bench']

let passed = 0
let failed = 0

/** Runs one part, at most for so long; its counts join the sum. What it printed goes to the logs, and its end to the terminal. */
function part(name, command, args, { seconds, counts = true, lines = 40, env = {} } = {}) {
  console.log(`\n── ${name}`)
  const log = join(logs, `${name.replace(/\W+/g, '-')}.log`)
  const file = openSync(log, 'w')
  const began = Date.now()
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', file, file],
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
  })
  closeSync(file)
  const text = readFileSync(log, 'utf8')
  // Failures are shown wherever they stand.
  for (const line of text.split('\n').slice(0, -lines)) if (/^FAIL|NOT VERIFIED/.test(line)) console.log(line)
  console.log(text.trimEnd().split('\n').slice(-lines).join('\n'))
  const found = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1)
  if (counts) {
    passed += Number(found?.[1] ?? [...text.matchAll(/^ok /gm)].length)
    failed += Number(found?.[2] ?? [...text.matchAll(/^FAIL /gm)].length)
    if (found === undefined || (status !== 0 && found[2] === '0')) {
      failed++
      console.log(
        `${name} did not end well: ${error?.code === 'ETIMEDOUT' || signal === 'SIGKILL' ? `stopped after ${seconds} s` : `status ${status ?? signal ?? error}`}`,
      )
    }
  }
  console.log(`${name}: ${((Date.now() - began) / 1000).toFixed(1)} s`)
}

const rowsIn = (name) => {
  try {
    return JSON.parse(readFileSync(join(logs, name), 'utf8'))
  } catch {
    return []
  }
}

function checkOnGpu() {
  if (!existsSync(addon) || !existsSync(program)) {
    const architecture = spawnSync('nvidia-smi', ['--query-gpu=compute_cap', '--format=csv,noheader'], { encoding: 'utf8' })
      .stdout?.trim()
      .split('\n')[0]
      .replace('.', '')
    const build = spawnSync(process.execPath, ['scripts/build-cuda.mjs', '--architectures', architecture === '90' ? '90a' : architecture], {
      cwd: root,
      stdio: 'inherit',
    })
    if (build.status !== 0) failed++
  }
  const run = values.js === undefined ? ['--import=tsx', 'test/cuda/run.ts'] : [join(values.js, 'test/cuda/run.js')]
  // A machine without npm has both addons from one build.
  const env = values.js === undefined ? {} : { ESPALIER_PREBUILD: join(root, 'build-cuda'), ESPALIER_CUDA_ADDON: addon }
  part('the library through Node', process.execPath, [...run, ...only, ...bench, '--json', join(logs, 'node.json')], { seconds: 120, env })
  part('the native program', program, [...only, ...bench, '--json', join(logs, 'native.json')], { seconds: 300 })
  if (bench.length > 0) {
    const rivals = spawnSync('python3', ['bench/cuda/rivals.py', ...only], { cwd: root, encoding: 'utf8', timeout: 180_000, maxBuffer: 1 << 26 })
    writeFileSync(join(logs, 'rivals.json'), rivals.stdout ?? '[]')
    writeFileSync(join(logs, 'rivals.log'), rivals.stderr ?? '')
    console.log(`\n── PyTorch\n${(rivals.stderr ?? String(rivals.error)).trimEnd()}`)
  }
  sanitize()
}

/** Checks again under compute-sanitizer: families that touch memory in the ways that go wrong, each for a while. */
function sanitize() {
  if (spawnSync('compute-sanitizer', ['--version']).status !== 0) {
    console.log('\n── compute-sanitizer: skipped, it is not installed')
    return
  }
  for (const family of ['cast', 'conv', 'gemm', 'tiles', 'select', 'norm', 'pool', 'softmax'])
    part(`memcheck ${family}`, 'compute-sanitizer', ['--tool', 'memcheck', '--error-exitcode', '9', program, '--only', family], { seconds: 40, lines: 6 })
}

/** Each of our rows with every rival that its case begins like, the longest such beginning first; rivals without a row of ours at the end. */
function joined(ours, rivals) {
  const used = new Set()
  const rows = ours.flatMap((row) => {
    const matching = rivals.filter(({ task, case: name }) => task === row.task && row.case.startsWith(name))
    const longest = Math.max(0, ...matching.map(({ case: name }) => name.length))
    const others = matching.filter(({ case: name }) => name.length === longest)
    for (const other of others) used.add(other)
    return [row, ...others.map(({ rival, rivalMs }) => ({ ...row, rival, rivalMs, ratio: rivalMs / row.oursMs }))]
  })
  return [...rows, ...rivals.filter((row) => !used.has(row)).map((row) => ({ ...row, oursMs: null, ratio: null }))]
}

const time = (ms) => (ms === null || ms === undefined || ms === 0 ? '' : ms < 0.1 ? `${(ms * 1000).toPrecision(3)} µs` : `${ms.toPrecision(4)} ms`)
function print(rows) {
  const cells = rows.map(({ task, case: name, oursMs, rival, rivalMs, ratio, limitFraction, verified }) => [
    task,
    name.trim(),
    time(oursMs),
    rival ?? '',
    time(rivalMs),
    ratio ? `×${ratio.toFixed(2)}` : '',
    limitFraction ? `${(100 * limitFraction).toFixed(0)}%` : '',
    verified === false ? 'NOT VERIFIED' : '',
  ])
  const widths = cells.reduce(
    (most, row) => row.map((cell, i) => Math.max(most[i] ?? 0, cell.length)),
    ['task', 'case', 'ours', 'rival', 'its time', 'ratio', 'limit', ''].map(({ length }) => length),
  )
  for (const row of [['task', 'case', 'ours', 'rival', 'its time', 'ratio', 'limit', ''], ...cells])
    console.log(
      row
        .map((cell, i) => cell.padEnd(widths[i]))
        .join('  ')
        .trimEnd(),
    )
}

const gpu = existsSync('/dev/nvidiactl') || existsSync('/dev/dxg')
if (!gpu && values.join === undefined) console.log('there is no NVIDIA GPU here: nothing was checked')
else {
  if (values.join === undefined) checkOnGpu()
  const rows = joined([...rowsIn('native.json'), ...rowsIn('node.json')], rowsIn('rivals.json'))
  if (rows.length > 0) {
    console.log('\n── benches')
    print(rows)
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`)
}
if (kept === undefined) rmSync(logs, { recursive: true })
console.log(`${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
