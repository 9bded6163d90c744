import { global } from '../../amounts/global.js'
import type { PrunerOptions } from '../../pruner.js'
import { bnScale } from '../../scores/bnScale.js'
import { filter } from '../../structures/filter.js'

/** Network slimming: filters of the whole model whose batch norm scales them least, at once. Liu et al. 2017. */
export const slimming = ({ rate }: { rate: number }): PrunerOptions => ({ score: bnScale(), structure: filter, amount: global(rate), bias: 'mask' })
