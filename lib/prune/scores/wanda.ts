import { mul, sqrt } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { inputSquares } from '../statistics/inputSquares.js'
import type { Score } from './score.js'

/**
 * |w|·‖x‖₂ of the inputs x that the weight multiplies, over all batches seen. Meant to be ranked in each
 * neuron for itself: structure `perNeuron` or `nm`. Sun et al. 2024.
 */
export const wanda: Score = {
  name: 'wanda',
  needs: [inputSquares],
  magnitude: true,
  norm: 1,
  of: (weight, seen) => perGroup(weight, sqrt(seen.of(inputSquares))),
}

/** weight · norms, where the norms are those of each group of filters. */
function perGroup(weight: Tensor, norms: Tensor): Tensor {
  const [groups, ...inputs] = norms.shape
  const [out] = weight.shape
  if (groups === 1 || groups === out) return mul(weight, norms)
  return mul(weight.reshape([groups, out / groups, ...inputs]), norms.reshape([groups, 1, ...inputs])).reshape(weight.shape)
}
