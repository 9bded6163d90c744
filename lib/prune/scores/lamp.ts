import { native } from '../../native/index.js'
import { empty } from '../../tensor/index.js'
import type { Score } from './score.js'

/**
 * w² over the sum of the squares of all weights of its layer that are no smaller: magnitudes that can be
 * compared between layers. With `global` it decides how much each layer loses. Lee et al. 2021.
 */
export const lamp: Score = {
  name: 'lamp',
  magnitude: false,
  of(weight) {
    const scores = empty(weight.shape, weight.dtype)
    native.lampScore(weight.data, scores.data)
    return scores
  },
}
