import { cxx } from './process.js'
import type { Contender, Limit, Match } from './task.js'

export interface Row {
  task: string
  case: string
  threads: number
  isa: string
  oursMs: number
  rival: string
  rivalMs: number | null
  /** rivalMs / oursMs: above 1, ours is the faster. */
  ratio: number | null
  /** The share of the machine's measured limit that ours reaches. */
  limitFraction: number | null
  verified: boolean
}

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]

/** A sample lasts at least this long: clocks weigh little, and most are not interrupted. */
const sampleMs = 1

/** A just-in-time compiler takes about this long to settle; allocators and threads less. */
const warmUpMs = 600

/** Repetitions that fill a sample, found while warming up. */
async function calibrate(contender: Contender): Promise<number> {
  const end = performance.now() + warmUpMs
  let repetitions = 1
  for (;;) {
    const taken = await contender.time(repetitions)
    if (taken >= sampleMs) {
      if (performance.now() > end) return repetitions
    } else repetitions = Math.ceil(repetitions * Math.min(10, Math.max(1.5, (1.2 * sampleMs) / Math.max(taken, 1e-3))))
  }
}

/** How long a run would take at the limit: the probe's time for as much work. */
function probe(limit: Limit): { contender: Contender; scale: number } {
  const contender = cxx({
    rival: 'the probe of the limit',
    source: 'support/peak.cc',
    install: 'apt-get install g++',
    args: 'fma' in limit ? [0] : 'dot' in limit ? [2] : [1, limit.read],
  })
  return { contender, scale: 'fma' in limit ? limit.fma / 1e6 : 'dot' in limit ? limit.dot / 1e6 : limit.read / 2 ** 20 }
}

/**
 * Checks both sides, then times them by turns for about `seconds`, and the limit with them: what
 * the machine does to one it does to all. Medians of the samples.
 */
export async function measure({ ours, theirs, limit }: { ours: Contender; theirs: Contender | null; limit?: Limit }, seconds: number) {
  const bound = limit && probe(limit)
  const sides = [ours, theirs, bound?.contender ?? null].map((contender) => contender && { contender, samples: [] as number[], repetitions: 0 })
  try {
    for (const side of sides) if (side) side.repetitions = await calibrate(side.contender)
    const end = performance.now() + seconds * 1000
    for (let round = 0; round < 5 || performance.now() < end; round++)
      for (const side of round % 2 ? [...sides].reverse() : sides) {
        if (!side) continue
        await side.contender.time(1) // the caches still hold the other's data
        side.samples.push((await side.contender.time(side.repetitions)) / side.repetitions)
      }
  } finally {
    bound?.contender.close?.()
  }
  const [oursMs, rivalMs, unitMs] = sides.map((side) => side && median(side.samples)) as [number, number | null, number | null]
  return {
    oursMs,
    rivalMs,
    ratio: rivalMs === null ? null : rivalMs / oursMs,
    limitFraction: bound && unitMs !== null ? (unitMs * bound.scale) / oursMs : null,
  }
}

/** Whether a side's values stand the task's check; why not, otherwise. */
export async function faultOf(verify: Match['verify'], side: Contender): Promise<string | undefined> {
  try {
    verify(await side.output())
    return undefined
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause)
  }
}
