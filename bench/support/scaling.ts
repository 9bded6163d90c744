// Ours on some threads, and the rival is ours on one.
import { native } from '../../lib/native/index.js'
import type { Contender, Match } from './task.js'

/** Shorter runs gain nothing: waking a thread takes microseconds. */
const shortestMs = 0.1

const onThreads = (count: number, contender: Contender): Contender => ({
  ...contender,
  async time(repetitions) {
    const before = native.threads()
    native.setThreads(count)
    try {
      return await contender.time(repetitions)
    } finally {
      native.setThreads(before)
    }
  },
})

/** Each case of a task once, whatever its rivals, and only those that one thread takes long enough for. */
export async function* scaling(matches: Iterable<Match> | AsyncIterable<Match>, threads: number): AsyncIterable<Match> {
  const seen = new Set<string>()
  for await (const { case: name, ours, verify } of matches) {
    if (seen.has(name)) continue
    seen.add(name)
    const trial = await ours()
    const single = onThreads(1, trial)
    await single.time(3)
    const ms = (await single.time(3)) / 3
    trial.close?.()
    if (ms < shortestMs) continue
    yield { case: name, rival: 'one thread', verify, ours: async () => onThreads(threads, await ours()), theirs: async () => onThreads(1, await ours()) }
  }
}
