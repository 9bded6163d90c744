import { global } from '../../amounts/global.js'
import type { PrunerOptions } from '../../pruner.js'
import { snip as score } from '../../scores/snip.js'

/** Single-shot pruning before training: show it forward and backward passes of a batch through `Pruner.observe` first. Lee et al. 2019. */
export const snip = ({ sparsity }: { sparsity: number }): PrunerOptions => ({ score, amount: global(sparsity) })
