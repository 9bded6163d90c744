// Runs the steps of a check one after the other, each to its end, and sums them up.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))
export const node = process.execPath
export const bin = (pkg, file) => `${root}node_modules/${pkg}/${file}`

export const available = (program) => spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0

export function output(command, args) {
  const run = spawnSync(command, args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 28 })
  if (run.status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${run.stderr}`)
  return run.stdout
}

export class Steps {
  #rows = []

  /**
   * One command. `count` reads passed and failed out of what it printed; without it the command counts
   * as one check. A command that fails without having counted a failure counts as one. A quiet one
   * is heard only when it fails.
   */
  run(name, command, args, { env = {}, count, input, quiet = false } = {}) {
    console.log(`\n── ${name}`)
    const started = Date.now()
    const result = spawnSync(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      input,
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      stdio: [input === undefined ? 'ignore' : 'pipe', count || quiet ? 'pipe' : 'inherit', quiet ? 'pipe' : 'inherit'],
    })
    if (count || (quiet && result.status !== 0)) process.stdout.write(`${result.stdout ?? ''}${result.stderr ?? ''}`)
    const counted = count?.(result.stdout ?? '') ?? { passed: result.status === 0 ? 1 : 0, failed: 0 }
    if (result.status !== 0 && counted.failed === 0) counted.failed = 1
    this.#rows.push({ name, ...counted, seconds: (Date.now() - started) / 1000 })
    return result.status === 0
  }

  skip(name, why) {
    console.log(`\n── ${name}: skipped, ${why}`)
    this.#rows.push({ name, passed: 0, failed: 0, skipped: why, seconds: 0 })
  }

  fail(name, why) {
    console.log(`\n── ${name}: failed, ${why}`)
    this.#rows.push({ name, passed: 0, failed: 1, seconds: 0 })
  }

  /** The table, then `N passed, N failed` as the last line. */
  finish() {
    const width = Math.max(...this.#rows.map(({ name }) => name.length))
    console.log('')
    for (const { name, passed, failed, skipped, seconds } of this.#rows)
      console.log(`${name.padEnd(width)}  ${skipped ? `skipped, ${skipped}` : `${passed} passed, ${failed} failed  ${seconds.toFixed(1)} s`}`)
    const sum = (key) => this.#rows.reduce((total, row) => total + row[key], 0)
    console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
    if (sum('failed') > 0) process.exitCode = 1
  }
}

/** The counts of a line `N passed, N failed`, as the goldens and the native tests end. */
export function closingLine(text) {
  const lines = [...text.matchAll(/^(\d+) passed, (\d+) failed$/gm)]
  return lines.length === 0 ? { passed: 0, failed: 1 } : { passed: Number(lines.at(-1)[1]), failed: Number(lines.at(-1)[2]) }
}

/** Ava's counts: a line a passed test; failures from the closing lines, which name passes only where there are none. */
export function avaLines(text) {
  const total = (pattern) => [...text.matchAll(pattern)].reduce((sum, [, count]) => sum + Number(count), 0)
  return {
    passed: [...text.matchAll(/^ +✔ /gm)].length,
    failed: total(/^\s*(\d+) (?:tests? failed|hooks? failed|uncaught exceptions?|unhandled rejections?)$/gm),
  }
}

/** The counts of GoogleTest's closing lines. */
export function googleTestLines(text) {
  const total = (pattern) => [...text.matchAll(pattern)].reduce((sum, [, count]) => sum + Number(count), 0)
  return { passed: total(/\[ {2}PASSED {2}\] (\d+) tests?\./g), failed: total(/\[ {2}FAILED {2}\] (\d+) tests?, listed/g) }
}
