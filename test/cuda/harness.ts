// Checks of the library on a GPU, as a program of its own: it must run on machines that have neither npm nor
// a test runner. Where the device is an emulated one (native/test/cuda) the same checks run in CI.
import { devices, type Tensor } from '../../lib/index.js'
import { hostValues } from '../../lib/tensor/index.js'

interface Check {
  readonly name: string
  readonly run: () => void | Promise<void>
}
const checks: Check[] = []

/** Registers a check: it passes unless it throws. */
export function check(name: string, run: Check['run']): void {
  checks.push({ name, run })
}

/** Whether the device is the emulation, which has no 16-bit arithmetic. */
export const emulated = (): boolean => devices()[1]?.name === 'emulated'

export function require(holds: boolean, what: string): void {
  if (!holds) throw new Error(`${what} does not hold`)
}

/** What `body` throws has this code. */
export function refused(code: string, body: () => unknown): void {
  try {
    body()
  } catch (error) {
    require((error as { code?: string }).code === code, `code ${code} instead of ${(error as { code?: string }).code ?? error}`)
    return
  }
  throw new Error(`${code} was expected, nothing was thrown`)
}

/** ‖a − b‖ ≤ tolerance·(‖b‖ + floor·√n), NaN where the other has it. */
export function close(a: Tensor, b: Tensor, tolerance: number, what: string, floor = 0): void {
  require(a.shape.join() === b.shape.join(), `${what}: shape [${a.shape}] = [${b.shape}]`)
  const [x, y] = [hostValues(a.storage), hostValues(b.storage)]
  let difference = 0
  let norm = 0
  let worst = { at: 0, off: -1 }
  for (let i = 0; i < y.length; i++) {
    if (x[i] === y[i] || (Number.isNaN(x[i]) && Number.isNaN(y[i]))) {
      if (Number.isFinite(y[i])) norm += y[i] ** 2
      continue
    }
    const off = Math.abs(x[i] - y[i])
    if (!(off <= worst.off)) worst = { at: i, off }
    difference += off ** 2
    norm += y[i] ** 2
  }
  if (!(Math.sqrt(difference) <= tolerance * (Math.sqrt(norm) + floor * Math.sqrt(y.length)) + Number.MIN_VALUE))
    throw new Error(
      `${what}: off by ${(Math.sqrt(difference) / Math.sqrt(norm)).toExponential(2)} of the norm (allowed ${tolerance}); furthest at [${worst.at}]: ${x[worst.at]}, expected ${y[worst.at]}`,
    )
}

/** Runs what was registered and bears one of some texts in its name, and none of others; the last line is `N passed, N failed`. */
export async function runChecks(only = '', except?: string): Promise<boolean> {
  const holds = (name: string, texts: string) => texts.split(',').some((text) => name.includes(text))
  let passed = 0
  let failed = 0
  for (const { name, run } of checks) {
    if (!holds(name, only) || (except !== undefined && holds(name, except))) continue
    const began = performance.now()
    let fault = ''
    try {
      await run()
    } catch (error) {
      fault = `: ${error instanceof Error ? (error.stack ?? error.message).split('\n').slice(0, 6).join(' | ') : error}`
    }
    if (fault === '') passed++
    else failed++
    console.log(`${fault === '' ? 'ok  ' : 'FAIL'} ${name} ${((performance.now() - began) / 1000).toFixed(2)} s${fault}`)
  }
  console.log(`${passed} passed, ${failed} failed`)
  return failed === 0
}
