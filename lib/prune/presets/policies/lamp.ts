import { global } from '../../amounts/global.js'
import type { PrunerOptions } from '../../pruner.js'
import { lamp as score } from '../../scores/lamp.js'

/** Layer-adaptive magnitudes of the whole model, at once. Lee et al. 2021. */
export const lamp = ({ sparsity }: { sparsity: number }): PrunerOptions => ({ score, amount: global(sparsity) })
