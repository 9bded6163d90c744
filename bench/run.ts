// npm run bench [-- task…] [--json] [--seconds N] [--scaling THREADS]: ours against its rivals, one thread unless
// ESPALIER_THREADS says otherwise; with --scaling, ours on so many threads against ours on one. Every result is checked before it is timed. With --json the last
// line is an array of rows; see support/measure.ts. How to add a task: README.md. A study, such as accuracy,
// times nothing and takes long: it runs only when it is named.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'boolean', default: false }, seconds: { type: 'string', default: '1' }, scaling: { type: 'string' } },
})
process.env.ESPALIER_THREADS ??= options.scaling ?? '1'
const count = process.env.ESPALIER_THREADS
for (const name of ['OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS']) process.env[name] = count

const { faultOf, measure } = await import('./support/measure.js')
type Row = import('./support/measure.js').Row
type Study = import('./support/task.js').Study
type Task = import('./support/task.js').Task
const { Missing } = await import('./support/task.js')
const { scaling } = await import('./support/scaling.js')
const { native } = await import('../lib/native/index.js')

const here = fileURLToPath(new URL('.', import.meta.url))
const isStudy = (name: string): boolean => existsSync(`${here}${name}/study.ts`)
const known = readdirSync(here).filter((name) => name !== 'support' && (existsSync(`${here}${name}/task.ts`) || isStudy(name)))
const seconds = Number(options.seconds)
const threads = Number(options.scaling ?? 2)
const unknown = positionals.find((name) => !known.includes(name))
if (unknown !== undefined || !(seconds > 0) || !(Number.isInteger(threads) && threads > 1)) {
  console.error(`usage: npm run bench [-- task…] [--json] [--seconds N] [--scaling THREADS, above 1]; tasks: ${known.join(', ')}`)
  process.exit(2)
}

const rows: (Row | object)[] = []
const names = positionals.length > 0 ? positionals : known.filter((name) => !isStudy(name))
if (names.length > 1) {
  // A process each: what one task leaves behind in the compiler and on the heap is not the next one's.
  for (const name of names) {
    const passed = ['--seconds', options.seconds, ...(options.scaling === undefined ? [] : ['--scaling', options.scaling])]
    const one = spawnSync(process.execPath, ['--import=tsx', fileURLToPath(import.meta.url), name, '--json', ...passed], {
      stdio: ['ignore', 'pipe', options.json ? 'inherit' : 1],
      encoding: 'utf8',
    })
    if (one.status !== 0) process.exitCode = 1
    const last = one.stdout.trim().split('\n').at(-1) ?? ''
    if (last.startsWith('[')) rows.push(...(JSON.parse(last) as object[]))
  }
} else await run(names[0])
if (options.json) console.log(JSON.stringify(rows))

async function run(name: string): Promise<void> {
  const say = options.json ? console.error : console.log
  const machine = { threads: native.threads(), isa: native.isa() }
  say(`${machine.isa}, ${machine.threads} thread(s); ratio: rival's time by ours, above 1 ours is the faster`)
  if (isStudy(name)) {
    const { default: study } = (await import(pathToFileURL(`${here}${name}/study.ts`).href)) as { default: Study }
    rows.push(...(await study(say)))
    return
  }
  const { default: task } = (await import(pathToFileURL(`${here}${name}/task.ts`).href)) as { default: Task }
  for await (const match of options.scaling === undefined ? task() : scaling(task(), threads)) {
    const ours = await match.ours()
    let theirs: Awaited<ReturnType<typeof match.theirs>> | null = null
    try {
      theirs = await match.theirs()
    } catch (cause) {
      if (!(cause instanceof Missing)) throw cause
      say(`${name} ${match.case}: ${cause.message}`)
    }
    try {
      const faults = [await faultOf(match.verify, ours), theirs && (await faultOf(match.verifyTheirs ?? match.verify, theirs))]
      if (faults[0]) say(`${name} ${match.case}: OURS IS WRONG: ${faults[0]}`)
      if (faults[1]) say(`${name} ${match.case}: ${match.rival} is wrong: ${faults[1]}`)
      const verified = !faults[0] && !faults[1]
      if (!verified) process.exitCode = 1
      const timed = await measure({ ours, theirs, limit: match.limit }, seconds)
      rows.push({ task: name, case: match.case, ...machine, rival: match.rival, ...timed, verified })
      const { oursMs, rivalMs, ratio, limitFraction } = timed
      say(
        [
          name.padEnd(10),
          match.case.padEnd(16),
          `${oursMs.toPrecision(4)} ms`.padStart(12),
          `${match.rival} ${rivalMs === null ? 'absent' : `${rivalMs.toPrecision(4)} ms`}`.padStart(38),
          ratio === null ? '' : `×${ratio.toFixed(2)}`.padStart(8),
          limitFraction === null ? '' : `${(100 * limitFraction).toFixed(0)}% of the limit`.padStart(20),
        ].join(' '),
      )
    } finally {
      ours.close?.()
      theirs?.close?.()
    }
  }
}
