import { global } from '../../amounts/global.js'
import { straightThrough } from '../../gradients/straightThrough.js'
import type { PrunerOptions } from '../../pruner.js'
import { type PolynomialOptions, polynomial } from '../../schedules/polynomial.js'
import { movement as score } from '../../scores/movement.js'

/** Movement pruning, for fine-tuning: what training moves towards 0 falls, along a cubic from `begin` on (1 by default: something must have moved), and may return. Sanh et al. 2020. */
export const movement = ({ sparsity, begin = 1, ...rise }: { sparsity: number } & Omit<PolynomialOptions, 'draw'>): PrunerOptions => ({
  score,
  amount: global(sparsity),
  schedule: polynomial({ begin, ...rise, draw: 'anew' }),
  gradient: straightThrough,
})
