// Everything that is checked on a GPU: the native program, the library through Node, compute-sanitizer, the
// benches, and PyTorch beside them where python3 has it. Without a GPU it says so and nothing fails.
// Usage: node scripts/check-cuda.mjs [--json file] [--logs folder] [--only text] [--no-bench] [--parts list] [--seconds n] [--js folder] [--join folder]
//   --json     writes the rows of the benches, rivals joined to them, for bench/RESULTS-cuda.md
//   --logs     keeps what each part printed
//   --only     checks and benches whose names hold the text
//   --parts    some of first, node, rivals, sanitizer, rest; by default all, in that order
//   --seconds  begins nothing after so long: a machine may be lent for minutes
//   --join     only joins what earlier runs left in such a folder of logs, and prints it
//   --js       where the library stands compiled to JavaScript, on a machine without npm; see scripts/carry-cuda.mjs
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
    parts: { type: 'string', default: 'first,node,rivals,sanitizer,rest' },
    seconds: { type: 'string', default: '3600' },
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
const parts = values.parts.split(',')
for (const name of parts)
  if (!['first', 'node', 'rivals', 'sanitizer', 'rest'].includes(name)) {
    console.error(`--parts: ${name} is none`)
    process.exit(2)
  }
const until = Date.now() + 1000 * Number(values.seconds)
const left = () => Math.floor((until - Date.now()) / 1000)

// What has never passed on hardware, or was never timed there, goes first: docs/cuda.md says what that is.
const unproven = ['program_', 'zz_', 'warpgroups', 'resnet18', 'sparse_', 'two_four', 'prune_smallest', 'gemm_dense']

let passed = 0
let failed = 0

/** Runs one part, at most for so long; its counts join the sum. What it printed goes to the logs, and its end to the terminal. */
function part(name, command, args, { seconds, lines = 40, env = {} }) {
  console.log(`\n── ${name}`)
  if (left() < 5) {
    console.log('skipped, the time is up')
    return
  }
  const log = join(logs, `${name.replace(/\W+/g, '-')}.log`)
  const file = openSync(log, 'w')
  const began = Date.now()
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ['ignore', file, file],
    timeout: Math.min(seconds, left()) * 1000,
    killSignal: 'SIGKILL',
  })
  closeSync(file)
  const text = readFileSync(log, 'utf8')
  // Failures are shown wherever they stand.
  for (const line of text.split('\n').slice(0, -lines)) if (/^FAIL|NOT VERIFIED/.test(line)) console.log(line)
  console.log(text.trimEnd().split('\n').slice(-lines).join('\n'))
  const found = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1)
  passed += Number(found?.[1] ?? [...text.matchAll(/^ok /gm)].length)
  failed += Number(found?.[2] ?? [...text.matchAll(/^FAIL /gm)].length)
  if (found === undefined || (status !== 0 && found[2] === '0')) {
    failed++
    const stopped = error?.code === 'ETIMEDOUT' || signal === 'SIGKILL'
    console.log(`${name} did not end well: ${stopped ? 'stopped, it took too long' : `status ${status ?? signal ?? error}`}`)
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
  const named = values.only !== ''
  const through = {
    first: () => named || native('the native program, what has not run on hardware', 'first.json', ['--only', unproven.join()], 240),
    node: () => part('the library through Node', process.execPath, [...run, ...only, ...bench, '--json', join(logs, 'node.json')], { seconds: 120, env }),
    rivals: () => bench.length > 0 && rivals(),
    sanitizer: sanitize,
    rest: () => native('the native program', 'native.json', named ? only : ['--except', unproven.join()], 400),
  }
  for (const name of parts) through[name]()
}

/** The native program: nothing is begun once its time is up, so that it ends by itself, and leaves its rows. */
function native(name, rows, args, seconds) {
  const own = Math.max(1, Math.min(seconds, left() - 60))
  part(name, program, [...args, ...bench, '--seconds', String(own), '--json', join(logs, rows)], { seconds: own + 60 })
}

function rivals() {
  console.log('\n── PyTorch')
  const { stdout, stderr, error } = spawnSync('python3', ['bench/cuda/rivals.py', ...only, '--seconds', String(Math.min(150, left()))], {
    cwd: root,
    encoding: 'utf8',
    timeout: 240_000,
    maxBuffer: 1 << 26,
  })
  writeFileSync(join(logs, 'rivals.json'), stdout ?? '[]')
  writeFileSync(join(logs, 'rivals.log'), stderr ?? '')
  console.log((stderr ?? String(error)).trimEnd())
}

/** Checks again under compute-sanitizer: families that touch memory in the ways that go wrong, each for a while. */
function sanitize() {
  if (spawnSync('compute-sanitizer', ['--version']).status !== 0) {
    console.log('\n── compute-sanitizer: skipped, it is not installed')
    return
  }
  const memcheck = ['--tool', 'memcheck', '--target-processes', 'all', '--error-exitcode', '9', program]
  for (const family of ['program_', 'tiles_', 'sparse_', 'masked_', 'two_four', 'prune_', 'gemm_', 'conv_', 'norm', 'pool', 'softmax', 'cast'])
    part(`memcheck ${family}`, 'compute-sanitizer', [...memcheck, '--only', family, '--except', 'zz_,large', '--seconds', '15'], { seconds: 75, lines: 6 })
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
  const rows = joined([...rowsIn('first.json'), ...rowsIn('native.json'), ...rowsIn('node.json')], rowsIn('rivals.json'))
  if (rows.length > 0) {
    console.log('\n── benches')
    print(rows)
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`)
}
if (kept === undefined) rmSync(logs, { recursive: true })
console.log(`${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
