import { fraction } from '../../amounts/amount.js'
import { perTensor } from '../../amounts/perTensor.js'
import type { PrunerOptions } from '../../pruner.js'
import { type SoftOptions, soft } from '../../schedules/soft.js'
import { ln } from '../../scores/ln.js'
import { filter } from '../../structures/filter.js'

/** Soft filter pruning: after each epoch the filters of each layer of the least L2 norm are set to 0, and go on learning. He et al. 2018. */
export const sfp = ({ rate, ...times }: { rate: number } & SoftOptions): PrunerOptions => ({
  score: ln(2),
  structure: filter,
  amount: perTensor(fraction(rate, { of: 'total', round: 'floor' })),
  schedule: soft(times),
})
