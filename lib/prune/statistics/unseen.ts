import { EspalierError } from '../../native/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Seen } from './statistic.js'

/** What is known of a weight that nobody has observed. */
export const unseen = (mask: Tensor | null): Seen => ({
  module: null,
  model: null,
  mask,
  of({ name }) {
    throw new EspalierError('STATE', `prune: the score needs ${name}, which a Pruner observes while batches pass`)
  },
})
