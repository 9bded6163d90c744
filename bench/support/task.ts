import type { NativeArray } from '../../lib/native/index.js'

/** One side of a comparison, ready to run. */
export interface Contender {
  /** Milliseconds that `repetitions` runs took together. */
  time(repetitions: number): number | Promise<number>
  /** What one run computes, for the check before any timing. */
  output(): NativeArray | Promise<NativeArray>
  close?(): void
}

/** A measured maximum of the machine, and how much of it one run must use at least. */
export type Limit = { fma: number } | { dot: number } | { read: number }

/** One row of the report: ours against one rival on one case. */
export interface Match {
  case: string
  /** Name and, where it tells one, version. */
  rival: string
  ours(): Contender | Promise<Contender>
  /** Throws `Missing` where the rival is not installed. */
  theirs(): Contender | Promise<Contender>
  /** Throws where the values are wrong: see README.md. */
  verify(output: NativeArray): void
  /** The same for the rival's, where it computes something else: the same network without quantisers. Default: `verify`. */
  verifyTheirs?(output: NativeArray): void
  /** Floating-point operations (`fma`), those of dot products of bytes (`dot`) or bytes from memory (`read`) of one run; for the share of the limit. */
  limit?: Limit
}

/** A task is a folder with a `task.ts` that exports by default its matches, made one by one. */
export type Task = () => Iterable<Match> | AsyncIterable<Match>

/** A folder with a `study.ts` measures something else than time: it tells its course by `say` and gives rows of its own. */
export type Study = (say: (line: string) => void) => Promise<readonly object[]>

/** A rival that is not here, and the command that brings it. */
export class Missing extends Error {
  constructor(
    readonly rival: string,
    readonly install: string,
  ) {
    super(`${rival} is not installed: ${install}`)
  }
}

/** A contender that runs in this process; `run` leaves its result in what `output` returns. */
export function inProcess(run: () => unknown, output: () => NativeArray): Contender {
  return {
    time(repetitions) {
      const start = process.hrtime.bigint()
      for (let i = 0; i < repetitions; i++) run()
      return Number(process.hrtime.bigint() - start) / 1e6
    },
    output() {
      run()
      return output()
    },
  }
}

/** The same for a run that returns a promise. */
export function inProcessAsync(run: () => Promise<unknown>, output: () => NativeArray): Contender {
  return {
    async time(repetitions) {
      const start = process.hrtime.bigint()
      for (let i = 0; i < repetitions; i++) await run()
      return Number(process.hrtime.bigint() - start) / 1e6
    },
    async output() {
      await run()
      return output()
    },
  }
}
