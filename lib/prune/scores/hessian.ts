import { mul, square } from '../../ops/index.js'
import { curvature } from '../statistics/curvature.js'
import type { Score } from './score.js'

/**
 * w²·h with h the diagonal of the Hessian, from the probes of `Pruner.probe`, all of them summed: what the
 * loss would change by at a minimum, to second order, without the weight. Optimal brain damage, LeCun et al. 1990.
 */
export const hessian: Score = { name: 'hessian', needs: [curvature], magnitude: false, of: (weight, seen) => mul(square(weight), seen.of(curvature)) }
