import type { Generator } from '../../../tensor/index.js'
import { erk } from '../../amounts/erk.js'
import type { PrunerOptions } from '../../pruner.js'
import { type RegrowthOptions, regrowth } from '../../schedules/regrowth.js'
import { gradientMagnitude } from '../../scores/gradientMagnitude.js'
import { l1 } from '../../scores/l1.js'
import { random } from '../../scores/random.js'
import { element } from '../../structures/element.js'

/**
 * Rigging the lottery: every 100 steps the smallest weights give way to those of the largest dense gradient, a
 * share of them that a cosine takes to 0 at `end` (three quarters of the training). Name the optimiser, which
 * forgets the past of those that return. Evci et al. 2020.
 */
export const rigl = ({
  sparsity,
  generator,
  ...exchange
}: { sparsity: number; end: number; generator?: Generator } & Omit<RegrowthOptions, 'by' | 'first'>): PrunerOptions => ({
  score: l1,
  structure: element,
  amount: erk(sparsity),
  schedule: regrowth({ ...exchange, by: gradientMagnitude, first: random({ generator }) }),
})
