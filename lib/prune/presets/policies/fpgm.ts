import { perTensor } from '../../amounts/perTensor.js'
import type { PrunerOptions } from '../../pruner.js'
import { fpgm as score } from '../../scores/fpgm.js'
import { filter } from '../../structures/filter.js'

/** Filters near the geometric median of their layer, at once. He et al. 2019. */
export const fpgm = ({ rate }: { rate: number }): PrunerOptions => ({ score: score(), structure: filter, amount: perTensor(rate) })
