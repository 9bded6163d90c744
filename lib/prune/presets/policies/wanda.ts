import { fraction } from '../../amounts/amount.js'
import { perTensor } from '../../amounts/perTensor.js'
import type { PrunerOptions } from '../../pruner.js'
import { wanda as score } from '../../scores/wanda.js'
import { nm } from '../../structures/nm.js'
import { perNeuron } from '../../structures/perNeuron.js'

/**
 * Weights and activations: in each neuron the weights of the least |w|·‖x‖, once, without training. Show it inputs
 * through `Pruner.observe` first. A share, or n of m. Sun et al. 2024.
 */
export const wanda = (to: { sparsity: number } | { n: number; m: number }): PrunerOptions =>
  'n' in to ? { score, structure: nm(to.n, to.m) } : { score, structure: perNeuron, amount: perTensor(fraction(to.sparsity, { of: 'total' })) }
