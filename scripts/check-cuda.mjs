// Everything that is checked on a GPU: the native program, the library through Node, compute-sanitizer, the
// benches, and PyTorch beside them where python3 has it. Without a GPU it says so and nothing fails.
// Usage: node scripts/check-cuda.mjs [--json file] [--logs folder] [--only text] [--no-bench] [--parts list] [--seconds n] [--js folder] [--join folder]
//   --json     writes the rows of the benches, rivals joined to them, for bench/RESULTS-cuda.md
//   --logs     keeps what each part printed
//   --only     checks and benches whose names hold the text; neither compute-sanitizer nor the benches through Node
//   --parts    some of checks, goals, rivals, sanitizer, rest; by default all, in that order
//   --seconds  begins nothing after so long, where a machine is to be had for minutes alone
//   --join     only joins what earlier runs left in such a folder of logs, and prints it
//   --js       where the library stands compiled to JavaScript, on a machine without npm; see scripts/carry-cuda.mjs
import { spawn, spawnSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
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
    parts: { type: 'string', default: 'checks,goals,rivals,sanitizer,rest' },
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
const parts = values.parts.split(',')
for (const name of parts)
  if (!['checks', 'goals', 'rivals', 'sanitizer', 'rest'].includes(name)) {
    console.error(`--parts: ${name} is none`)
    process.exit(2)
  }
const until = Date.now() + 1000 * Number(values.seconds)
const left = () => Math.floor((until - Date.now()) / 1000)

// The checks of the native program, in groups that take about as long as each other: most of it is the CPU, which
// computes what to compare with, so that they run side by side.
const groups = ['program_,two_four,resnet18', 'zz_', 'sparse_,tiles,masked', 'conv', 'nhwc,pool,norm']
// The benches that the goals are read off.
const goals = 'gemm_dense,two_four,sparse_tiles_64,sparse_elements_float32,prune_smallest,masked_steps,train_step'
// What compute-sanitizer looks at: families that touch memory in the ways that go wrong.
const families = ['program_', 'tiles_', 'sparse_', 'masked_', 'two_four', 'prune_', 'gemm_', 'conv_', 'norm', 'pool', 'softmax', 'cast']

let passed = 0
let failed = 0

/** Runs one part, at most for so long; its counts join the sum. What it printed goes to the logs, and its end to the terminal. */
function part(name, command, args, { seconds, lines = 40, env = {}, counts = true }) {
  if (left() < 5) {
    console.log(`\n── ${name}\nskipped, the time is up`)
    return Promise.resolve()
  }
  const log = join(logs, `${name.replace(/\W+/g, '-')}.log`)
  const file = openSync(log, 'w')
  const began = Date.now()
  // A group of its own: the program works in a child, which is to end with it.
  const child = spawn(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: ['ignore', file, file], detached: true })
  let stopped = false
  const stop = setTimeout(() => {
    stopped = true
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }, Math.min(seconds, left()) * 1000)
  return new Promise((resolve) => {
    let error
    child.on('error', (problem) => {
      error = problem
    })
    child.on('close', (status, signal) => {
      clearTimeout(stop)
      closeSync(file)
      report(name, readFileSync(log, 'utf8'), { status: error ?? status ?? signal, stopped, lines, counts, seconds: (Date.now() - began) / 1000 })
      resolve()
    })
  })
}

/** Counts and prints what a part printed; failures wherever they stand. */
function report(name, text, { status, stopped, lines, counts, seconds }) {
  console.log(`\n── ${name}`)
  const all = text.trimEnd().split('\n')
  for (const line of all.slice(0, -lines)) if (/^FAIL|NOT VERIFIED/.test(line)) console.log(line)
  console.log(all.slice(-lines).join('\n'))
  const found = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)].at(-1)
  passed += Number(found?.[1] ?? [...text.matchAll(/^ok /gm)].length)
  failed += Number(found?.[2] ?? [...text.matchAll(/^FAIL /gm)].length)
  const idle = /nothing was checked/.test(text)
  if (idle || (counts && found === undefined) || (status !== 0 && (found?.[2] ?? '0') === '0')) {
    failed++
    console.log(`${name} did not end well: ${idle ? 'nothing was checked' : stopped ? 'stopped, it took too long' : `status ${status}`}`)
  }
  console.log(`${name}: ${seconds.toFixed(1)} s`)
}

/** Runs tasks side by side, at most so many. */
async function sideBySide(tasks, most) {
  const waiting = [...tasks]
  const work = async () => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) await task()
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(most, tasks.length)) }, work))
}

const rowsIn = (name) => {
  try {
    return JSON.parse(readFileSync(join(logs, name), 'utf8'))
  } catch {
    return []
  }
}

async function checkOnGpu() {
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
  const through = { checks, goals: () => timed('goals', ['--only', goals]), rivals, sanitizer, rest }
  for (const name of parts) await through[name]()
}

/** Every operation against the CPU in higher precision, and the library through Node. */
async function checks() {
  const native = (name, args) => () => {
    const own = Math.max(1, Math.min(300, left() - 60))
    return part(name, program, [...args, '--seconds', String(own)], { seconds: own + 60, lines: 6 })
  }
  const tasks =
    values.only === ''
      ? [
          native('checks of the rest', ['--except', groups.join()]),
          // What an earlier group names is not run again.
          ...groups.map((names, i) => native(`checks of ${names}`, ['--only', names, ...(i > 0 ? ['--except', groups.slice(0, i).join()] : [])])),
        ]
      : [native('checks', only)]
  await sideBySide([() => throughNode('the library through Node', only), ...tasks], availableParallelism())
}

function throughNode(name, args, counts = true) {
  const run = values.js === undefined ? ['--import=tsx', 'test/cuda/run.ts'] : [join(values.js, 'test/cuda/run.js')]
  // A machine without npm has both addons from one build.
  const env = values.js === undefined ? {} : { ESPALIER_PREBUILD: join(root, 'build-cuda'), ESPALIER_CUDA_ADDON: addon }
  return part(name, process.execPath, [...run, ...args], { seconds: 180, lines: 16, env, counts })
}

/** Benches of the native program: nothing is begun once its time is up, so that it ends by itself, and leaves its rows. */
async function timed(name, args) {
  if (values['no-bench'] || !worthwhile(`benches, ${name}`)) return
  const own = Math.max(1, Math.min(240, left() - 60))
  const which = values.only === '' ? args : only
  await part(`benches, ${name}`, program, ['--no-checks', '--bench', ...which, '--seconds', String(own), '--json', join(logs, `${name}.json`)], {
    seconds: own + 60,
  })
}

/** Whether there is time for what leaves rows: those of an earlier run in the same folder stay otherwise. */
function worthwhile(name) {
  if (left() >= 20) return true
  console.log(`\n── ${name}\nskipped, the time is up`)
  return false
}

async function rest() {
  if (values.only === '') await timed('rest', ['--except', goals])
  if (!values['no-bench'] && values.only === '') await throughNode('benches through Node', ['--no-checks', '--bench', '--json', join(logs, 'node.json')], false)
}

function rivals() {
  if (values['no-bench'] || !worthwhile('PyTorch')) return
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

/** Checks again under compute-sanitizer, each family for a while. */
async function sanitizer() {
  if (values.only !== '') return
  if (spawnSync('compute-sanitizer', ['--version']).status !== 0) {
    console.log('\n── compute-sanitizer: skipped, it is not installed')
    return
  }
  const memcheck = ['--tool', 'memcheck', '--target-processes', 'all', '--error-exitcode', '9', program]
  const look = (family) => () => {
    const own = Math.max(1, Math.min(40, Math.floor((left() - 20) / 2)))
    return part(`memcheck ${family}`, 'compute-sanitizer', [...memcheck, '--only', family, '--except', 'zz_,large', '--seconds', String(own)], {
      seconds: own + 75,
      lines: 6,
    })
  }
  await sideBySide(families.map(look), availableParallelism() / 2)
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
  if (values.join === undefined) await checkOnGpu()
  const rows = joined([...rowsIn('goals.json'), ...rowsIn('rest.json'), ...rowsIn('node.json')], rowsIn('rivals.json'))
  if (rows.length > 0) {
    console.log('\n── benches')
    print(rows)
  }
  if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 1)}\n`)
}
if (kept === undefined) rmSync(logs, { recursive: true })
console.log(`${passed} passed, ${failed} failed`)
if (failed > 0) process.exitCode = 1
