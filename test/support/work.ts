import { native } from '../../lib/native/index.js'

// Processor time does not depend on what else the machine does, but a call that waits has none: hence the clock too.
const [mostWork, mostWait] = [2_000, 60_000]

/** Begins to count; what it gives throws where that was too long ago: 2 s of work a thread, or a minute. */
export function startWork(): () => void {
  const [start, began] = [process.cpuUsage(), performance.now()]
  return () => {
    const { user, system } = process.cpuUsage(start)
    const [work, waited] = [(user + system) / 1000, performance.now() - began]
    if (work > mostWork * native.threads() || waited > mostWait)
      throw new Error(`took ${work.toFixed(0)} ms of processor time, ${waited.toFixed(0)} ms by the clock`)
  }
}

// Bytes. The sanitizer keeps what was freed for a while, and marks around everything.
const mostMemory = process.env.ESPALIER_SANITIZED === undefined ? 64e6 : 1e9

/** Begins to watch; what it gives throws where the process has held that much more, at any time since. */
export function startMemory(): () => void {
  const most = () => process.resourceUsage().maxRSS * 1024
  const start = most()
  return () => {
    const grown = most() - start
    if (grown > mostMemory) throw new Error(`took ${(grown / 1e6).toFixed(0)} MB`)
  }
}
