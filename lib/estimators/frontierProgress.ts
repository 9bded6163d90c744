import type { FrontierPoint, FrontierRefusal } from './frontier.js'

/** Where a sweep stands. */
export interface FrontierProgress {
  /** Runs that are finished, those of an earlier sweep among them, and runs in all. */
  done: number
  runs: number
  /** What the last one gave, and the same in a line. */
  result: FrontierPoint | FrontierRefusal
  line: string
}

/** Shows where a sweep stands; `stop` is called at its end, however it ends. */
interface Display {
  update(progress: FrontierProgress): void
  stop(): void
}

/** A bar on the terminal (and nothing where stderr is none), a function's calls, or nothing. */
export async function displayOf(wanted: boolean | ((progress: FrontierProgress) => void)): Promise<Display> {
  if (typeof wanted === 'function') return { update: wanted, stop() {} }
  if (!wanted || !process.stderr.isTTY) return { update() {}, stop() {} }
  const { SingleBar } = (await import('cli-progress')).default
  const bar = new SingleBar({ format: '{bar} {value}/{total} runs | {eta_formatted} | {line}', hideCursor: true, etaBuffer: 20 })
  let started = false
  return {
    update({ done, runs, line }) {
      if (!started) bar.start(runs, 0, { line: '' })
      started = true
      bar.update(done, { line })
    },
    stop() {
      if (started) bar.stop()
    },
  }
}

/** A result in a line. */
export function inWords(result: FrontierPoint | FrontierRefusal): string {
  const { method, accumulatorBits, weightBits, activationBits, seed } = result
  const setting = `${method}, ${accumulatorBits}-bit accumulators, weights ${weightBits}, activations ${activationBits}, seed ${seed}`
  if ('refused' in result) return `${setting}: ${result.refused}`
  return `${setting}: ${(100 * result.accuracy).toFixed(2)}%, ${result.provedBits} bits proved, at most ${result.activeInputs} active inputs`
}
