import { realNumber } from '../../../native/index.js'
import type { Observer } from './observer.js'

/**
 * The magnitude that so many percent of the values do not exceed, zeros among them, to within a bin of the
 * histogram. Rare outliers are clipped. Default 99.99.
 */
export function percentile(percent = 99.99): Observer {
  realNumber('percentile', percent, 0, 100)
  return {
    name: 'percentile',
    threshold(seen) {
      // (Less a hair: 7 % of 100 values are 7 of them, whatever the product's rounding says.)
      let left = Math.ceil((percent * seen.total) / 100 - 1e-9) - seen.zeros
      for (const [i, count] of seen.magnitudes().entries()) {
        left -= count
        if (left <= 0 && count > 0) return Math.min(seen.largest, (i + 1) * seen.width)
      }
      return seen.largest
    },
  }
}
