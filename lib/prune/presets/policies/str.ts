import { softThreshold } from '../../gradients/softThreshold.js'
import type { PrunerOptions } from '../../pruner.js'

/** Soft threshold reparametrisation: each layer learns its own sparsity. Kusupati et al. 2020. */
export const str = ({ initial }: { initial?: number } = {}): PrunerOptions => ({ gradient: softThreshold({ initial }) })
