import { perTensor } from '../../amounts/perTensor.js'
import type { PrunerOptions } from '../../pruner.js'
import { type PolynomialOptions, polynomial } from '../../schedules/polynomial.js'
import { l1 } from '../../scores/l1.js'
import { element } from '../../structures/element.js'

/** Gradual magnitude pruning: each layer's smallest weights, ever more of them along a cubic. Zhu & Gupta 2017. */
export const gmp = ({ sparsity, ...rise }: { sparsity: number } & PolynomialOptions): PrunerOptions => ({
  score: l1,
  structure: element,
  amount: perTensor(sparsity),
  schedule: polynomial({ frequency: 100, ...rise }),
})
