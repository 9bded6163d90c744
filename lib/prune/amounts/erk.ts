import { EspalierError } from '../../native/index.js'
import type { Allocation, Candidate } from './allocation.js'
import { type Amount, type Basis, count, type Units } from './amount.js'
import { allocated, amountIn } from './global.js'

/**
 * An amount of all units together, shared out so that large layers become the sparsest: the density of
 * a layer is proportional to the sum of its dimensions over their product, and layers that would be
 * denser than dense stay whole. Each is ranked for itself. Erdős–Rényi kernel, Evci et al. 2020.
 */
export const erk = (amount: number | Amount, options: { of?: Basis } = {}): Amount => allocated(byDimensions, amountIn(amount, options.of))

const byDimensions: Allocation = {
  name: 'erk',
  pools(candidates, amount) {
    const stand = inTotal(candidates, amount)
    const wished = densities(candidates, stand)
    return shared(candidates, wished, stand).map((units, i) => ({ members: [i], amount: count(candidates[i].units - units, { of: 'total' }) }))
  },
}

/** How many of all units shall stand. */
export function inTotal(candidates: readonly Candidate[], amount: Amount): number {
  const remaining = candidates.reduce((sum, candidate) => sum + candidate.remaining, 0)
  const total = candidates.reduce((sum, { units }) => sum + units, 0)
  const unknown = (): never => {
    throw new EspalierError('INVALID_ARGUMENT', `prune: ${amount.name} depends on scores, and cannot be shared out before they are known`)
  }
  const units: Units = { remaining, total, atMost: unknown, lowest: unknown }
  return remaining - amount.of(units)
}

/** The units each layer would keep, as real numbers that sum up to `stand`. */
function densities(candidates: readonly Candidate[], stand: number): number[] {
  const raw = candidates.map((candidate) => {
    const { shape, size } = (candidate.onGpu ?? candidate).latent
    return size === 0 ? 0 : shape.reduce((sum, dimension) => sum + dimension, 0) / size
  })
  const whole = new Set<number>()
  for (;;) {
    const left = candidates.map((_, i) => i).filter((i) => !whole.has(i))
    const free = stand - [...whole].reduce((sum, i) => sum + candidates[i].units, 0)
    const scale = free / left.reduce((sum, i) => sum + raw[i] * candidates[i].units, 0)
    const full = left.filter((i) => scale * raw[i] >= 1)
    if (full.length === 0 || left.length === 0) return candidates.map(({ units }, i) => (whole.has(i) ? units : Math.max(0, scale * raw[i] * units)))
    for (const i of full) whole.add(i)
  }
}

/** Whole numbers as near to the wished ones, the largest rests rounded up, that sum up to `stand`. */
function shared(candidates: readonly Candidate[], wished: readonly number[], stand: number): number[] {
  const units = wished.map(Math.floor)
  const byRest = wished.map((wish, i) => ({ i, rest: wish - Math.floor(wish) })).sort((a, b) => b.rest - a.rest || a.i - b.i)
  let missing = stand - units.reduce((sum, count) => sum + count, 0)
  for (const { i } of byRest) if (missing > 0 && units[i] < candidates[i].units) [units[i], missing] = [units[i] + 1, missing - 1]
  return units
}
