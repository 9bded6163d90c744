import { realNumber, wholeNumber } from '../../native/index.js'
import type { Score } from '../scores/score.js'
import { checkedEvery } from './oneShot.js'
import type { Schedule } from './schedule.js'

export interface RegrowthOptions {
  /** Share of each layer's standing units that is exchanged, 0 to 1. Default 0.3. */
  share?: number
  /** Those of the highest score return: `gradientMagnitude`, `random()`. */
  by: Score
  /** Ranks the first draw, at tick 0. Default: the pruner's own score. */
  first?: Score
  /** Ticks between two exchanges. Default 100. */
  frequency?: number
  /** Tick from which nothing is exchanged any more. */
  end?: number
  /** 'cosine' lets the share fall from `share` to 0 at `end`; 'constant' does not. Default 'cosine' where there is an end. */
  decay?: 'cosine' | 'constant'
  /** What a tick is. Default 'step'. */
  every?: 'step' | 'epoch'
}

/**
 * Sparse from the start to the end: at tick 0 the amount falls; then, each `frequency` ticks, the lowest-scored
 * of what stands fall and as many of the others return, with the value 0 and no memory in the optimiser.
 * At tick t the share is share/2 · (1 + cos(π·t/end)). RigL, Evci et al. 2020; SET, Mocanu et al. 2018.
 *
 * Under `nm` and `perNeuron` those that fall are ranked in the whole layer, and as many return in each group (of M neighbours,
 * of a neuron's inputs) as fell there, so that the pattern holds: as Lasby et al. 2024 (SRigL) do under a constant fan-in.
 * A mix of structures is refused when it comes to an exchange.
 *
 * @throws EspalierError INVALID_ARGUMENT for a share outside 0 to 1, a frequency below 1, or a cosine without an end
 * @example
 * ```ts
 * import { nn, ops, prune, rand } from 'espalier'
 * const layer = new nn.Linear(16, 8)
 * const schedule = prune.regrowth({ by: prune.gradientMagnitude, share: 0.3, frequency: 1, end: 10 })
 * const pruner = new prune.Pruner(layer, { structure: prune.nm(2, 4), schedule })
 * pruner.start() // 2 of every 4 neighbours are left
 * for (let step = 0; step < 5; step++) {
 *   ops.sum(layer.forward(rand([4, 16]))).backward() // and the optimiser's step
 *   pruner.step() // still 2 of every 4, in part others
 * }
 * ```
 */
export function regrowth({
  share = 0.3,
  by,
  first,
  frequency = 100,
  end,
  decay = end === undefined ? 'constant' : 'cosine',
  every = 'step',
}: RegrowthOptions): Schedule {
  realNumber('regrowth: share', share, 0, 1)
  wholeNumber('regrowth: frequency', frequency, 1)
  if (end !== undefined || decay === 'cosine') wholeNumber('regrowth: end', end, 1)
  const at = (tick: number): number => (decay === 'cosine' ? (share / 2) * (1 + Math.cos((Math.PI * tick) / end!)) : share)
  return {
    name: `regrowth(${share} by ${by.name})`,
    every: checkedEvery('regrowth', every),
    scores: first === undefined ? [by] : [by, first],
    at({ tick }) {
      if (tick === 0) return { score: first }
      return tick % frequency === 0 && (end === undefined || tick < end) ? { regrow: { share: at(tick), by } } : null
    },
  }
}
