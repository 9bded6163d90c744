import { global } from '../../amounts/global.js'
import type { PrunerOptions } from '../../pruner.js'
import { oneShot } from '../../schedules/oneShot.js'
import { l1 } from '../../scores/l1.js'
import { element } from '../../structures/element.js'

/** The smallest weights of the whole model, at once; fine-tune afterwards. Han et al. 2015. */
export const magnitude = ({ sparsity }: { sparsity: number }): PrunerOptions => ({
  score: l1,
  structure: element,
  amount: global(sparsity),
  schedule: oneShot(),
})
