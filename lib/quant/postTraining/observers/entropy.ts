import type { CodeOptions } from '../../range.js'
import type { Histogram } from '../histogram.js'
import type { Observer } from './observer.js'

/** Steps between the ends that are tried, in bins. */
const stride = 8
/** A probability that stands for none: what is impossible after quantisation is infinitely far off. */
const tiny = 1e-9

/**
 * The end of the range at which the distribution of magnitudes, once it is cut there and kept in as many
 * levels as there are codes, is nearest to the cut one: least Kullback–Leibler divergence. Migacz 2017, "8-bit
 * inference with TensorRT". Made for 8 bits: with the few levels of narrow codes it ends too early more often
 * than not, and 'mse' is the better rule.
 */
export const entropy: Observer = {
  name: 'entropy',
  threshold(seen: Histogram, { bits, signed }: CodeOptions): number {
    if (seen.largest === 0) return 0
    const counts = seen.magnitudes()
    const levels = 2 ** (signed ? bits - 1 : bits)
    const last = Math.min(counts.length, Math.ceil(seen.largest / seen.width))
    let [best, least] = [last, Number.POSITIVE_INFINITY]
    for (let end = last; end >= Math.min(levels, last); end -= stride) {
      const distance = divergence(counts, end, levels)
      if (distance < least) [best, least] = [end, distance]
    }
    return Math.min(seen.largest, best * seen.width)
  },
}

/** How far the counts before `end`, spread evenly within each of `levels` runs, are from the counts with the rest put into the last bin. */
function divergence(counts: Float64Array, end: number, levels: number): number {
  let inside = 0
  let total = 0
  for (const [i, count] of counts.entries()) {
    total += count
    if (i < end) inside += count
  }
  if (inside === 0) return Number.POSITIVE_INFINITY
  let distance = 0
  for (let level = 0; level < levels; level++) {
    const from = Math.floor((level * end) / levels)
    const to = Math.floor(((level + 1) * end) / levels)
    let sum = 0
    let occupied = 0
    for (let i = from; i < to; i++) {
      sum += counts[i]
      if (counts[i] > 0) occupied++
    }
    for (let i = from; i < to; i++) {
      const p = (counts[i] + (i === end - 1 ? total - inside : 0)) / total
      const q = counts[i] > 0 ? sum / occupied / inside : 0
      if (p > 0) distance += p * Math.log(p / Math.max(q, tiny))
    }
  }
  return distance
}
