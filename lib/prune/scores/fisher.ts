import { mul, square } from '../../ops/index.js'
import { gradientSquares } from '../statistics/gradientSquares.js'
import type { Score } from './score.js'

/**
 * w²·Σ g² over batches: optimal brain damage with the empirical Fisher information in the Hessian's place,
 * seen in ordinary training. Theis et al. 2018.
 */
export const fisher: Score = {
  name: 'fisher',
  needs: [gradientSquares],
  magnitude: false,
  of: (weight, seen) => mul(square(weight), seen.of(gradientSquares)),
}
