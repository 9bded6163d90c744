import { realNumber } from '../native/index.js'
import { abs, absMax, kthMagnitude, mean } from '../ops/index.js'
import type { Tensor } from '../tensor/index.js'

/**
 * A number ≥ 0 that says how large a tensor's values are: one for all, or along `axis` one for each of its
 * indices; shaped to broadcast over x, on the tape.
 */
export type Statistic = (x: Tensor, axis: number | null) => Tensor

/**
 * The k-th smallest |x| of n, k = ⌊percent/100 · n + ½⌋ and at least 1. The gradient goes to the element it
 * was taken from. Brevitas' `AbsPercentile`.
 */
export function percentile(percent: number): Statistic {
  realNumber('percentile', percent, 0, 100)
  return (x, axis) => {
    const each = axis === null ? x.size : x.size / x.shape[axis]
    const rank = Math.max(1, Math.floor((percent / 100) * each + 0.5))
    if (rank >= each && (axis === null || axis === 0)) return absMax(x, { perChannel: axis === 0 })
    return kthMagnitude(x, rank, axis === null ? {} : { axis })
  }
}

/** The largest |x|. */
export const largest: Statistic = percentile(100)

/** The mean |x|: the scale at which ± it comes nearest to x. Rastegari et al. 2016, "XNOR-Net". */
export const meanMagnitude: Statistic = (x, axis) =>
  axis === null ? mean(abs(x)) : mean(abs(x), { dim: x.shape.map((_, i) => i).filter((i) => i !== axis), keepdim: true })
