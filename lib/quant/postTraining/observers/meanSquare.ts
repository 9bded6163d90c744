import { type CodeOptions, codeOfThreshold, integerRange } from '../../range.js'
import type { Histogram, Occupied } from '../histogram.js'
import type { Observer } from './observer.js'

const candidates = 128

/**
 * Of 128 thresholds, equally spaced up to the largest magnitude, the one at which the squared error of rounding
 * and clipping is least; of equal ones the larger. The few codes of narrow widths go where most values are.
 */
export const meanSquare: Observer = {
  name: 'mse',
  threshold(seen: Histogram, codes: CodeOptions): number {
    const values = seen.occupied()
    const { min, max } = integerRange(codes)
    const topCode = codeOfThreshold(codes)
    let [best, least] = [seen.largest, Number.POSITIVE_INFINITY]
    for (let step = candidates; step >= 1; step--) {
      const threshold = (seen.largest * step) / candidates
      const error = squaredError(values, threshold / topCode, min, max)
      if (error < least) [best, least] = [threshold, error]
    }
    return best
  },
}

function squaredError(values: readonly Occupied[], scale: number, min: number, max: number): number {
  let error = 0
  for (const { value, count } of values) error += count * (value - scale * Math.min(max, Math.max(min, Math.round(value / scale)))) ** 2
  return error
}
