import { setImmediate } from 'node:timers/promises'
import { realNumber } from '../native/index.js'

/**
 * Gives the event loop its turn when the last one is `every` milliseconds ago: call it between steps.
 * Timers and sockets of the process are then served, however long training takes.
 */
export function breather(every: number): () => Promise<void> | undefined {
  realNumber('yieldEvery', every, 0)
  let last = performance.now()
  return () => {
    if (performance.now() - last < every) return undefined
    return setImmediate().then(() => {
      last = performance.now()
    })
  }
}
