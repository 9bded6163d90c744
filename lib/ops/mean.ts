import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { type ReductionOptions, reduce, reductionCases, spread } from './reduction.js'

/** The mean over dimensions; NaN where there is nothing to average. */
export const mean = defineOp({
  name: 'mean',
  forward: (x: Tensor, options: ReductionOptions = {}) => reduce('mean', x, options, true),
  backward: (grad, { args: [x], saved }) => [spread(grad, saved, x.shape)],
  cases: reductionCases(),
})
