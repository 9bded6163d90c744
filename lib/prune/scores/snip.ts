import { mul } from '../../ops/index.js'
import { gradientSum } from '../statistics/gradientSum.js'
import type { Score } from './score.js'

/** |w·Σ g| over the batches seen: how much the loss hangs on the connection, before training. Lee et al. 2019. */
export const snip: Score = {
  name: 'snip',
  needs: [gradientSum],
  magnitude: true,
  norm: 1,
  of: (weight, seen) => mul(weight, seen.of(gradientSum)),
}
