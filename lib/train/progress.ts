import type { Scores } from './scores.js'

/** Where a training stands. */
export interface Progress {
  /** From 0. */
  epoch: number
  epochs: number
  /** Steps taken in this epoch. */
  step: number
  /** Steps an epoch has, where that is known. */
  steps: number | null
  /** Means over the epoch so far. */
  scores: Scores
}

/** Shows a training's progress; `stop` is called at its end, however it ends. */
export interface Display {
  update(progress: Progress): void
  stop(): void
}

const silent: Display = { update() {}, stop() {} }

export const showScores = (scores: Scores): string =>
  Object.entries(scores)
    .map(([name, value]) => `${name} ${value.toPrecision(4)}`)
    .join('  ')

/** A bar on the terminal (and nothing where stderr is none), a function's calls, or nothing. */
export async function displayOf(wanted: boolean | ((progress: Progress) => void)): Promise<Display> {
  if (typeof wanted === 'function') return { update: wanted, stop() {} }
  if (!wanted || !process.stderr.isTTY) return silent
  const { SingleBar } = (await import('cli-progress')).default
  const bar = new SingleBar({ format: '{bar} {percentage}% | epoch {epoch}/{epochs} | {eta_formatted} | {scores}', hideCursor: true, fps: 10, etaBuffer: 100 })
  let started = false
  return {
    update({ epoch, epochs, step, steps, scores }) {
      const total = epochs * (steps ?? step)
      const shown = { epoch: epoch + 1, epochs, scores: showScores(scores) }
      if (!started) bar.start(total, 0, shown)
      started = true
      bar.setTotal(total)
      bar.update(epoch * (steps ?? step) + step, shown)
    },
    stop() {
      if (started) bar.stop()
    },
  }
}
