import { describe, ensure } from '../../native/index.js'
import { formatShape, sameShape, Tensor } from '../../tensor/index.js'
import type { Score } from './score.js'

/**
 * Scores computed elsewhere: a tensor of the weight's shape and dtype. Entries are ranked by it as it
 * is, or with `magnitude` by its absolute values, and by the norm of order `norm` where several fall together.
 */
export const given = (scores: Tensor, { magnitude = false, norm = 1 }: { magnitude?: boolean; norm?: number } = {}): Score => ({
  name: 'given',
  magnitude,
  norm,
  entrywise: true,
  of(weight) {
    ensure(scores instanceof Tensor, 'INVALID_ARGUMENT', () => `given: the scores are ${describe(scores)}, expected a tensor`)
    ensure(
      sameShape(scores.shape, weight.shape) && scores.dtype === weight.dtype,
      'SHAPE_MISMATCH',
      () => `given: the scores are ${scores.dtype} ${formatShape(scores.shape)}, the weight ${weight.dtype} ${formatShape(weight.shape)}`,
    )
    return scores
  },
})
