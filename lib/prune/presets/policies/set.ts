import type { Generator } from '../../../tensor/index.js'
import { erk } from '../../amounts/erk.js'
import type { PrunerOptions } from '../../pruner.js'
import { type RegrowthOptions, regrowth } from '../../schedules/regrowth.js'
import { l1 } from '../../scores/l1.js'
import { random } from '../../scores/random.js'
import { element } from '../../structures/element.js'

/** Sparse evolutionary training: after each epoch the smallest weights give way to others, by lot. Mocanu et al. 2018. */
export const set = ({
  sparsity,
  generator,
  ...exchange
}: { sparsity: number; generator?: Generator } & Omit<RegrowthOptions, 'by' | 'first'>): PrunerOptions => {
  const lot = random({ generator })
  return {
    score: l1,
    structure: element,
    amount: erk(sparsity),
    schedule: regrowth({ every: 'epoch', frequency: 1, ...exchange, by: lot, first: lot }),
  }
}
