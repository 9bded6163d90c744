import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { type ReductionOptions, reduce, reductionCases, spread } from './reduction.js'

/** The sum over dimensions; in float32 within a few units in the last place of the exact one. */
export const sum = defineOp({
  name: 'sum',
  forward: (x: Tensor, options: ReductionOptions = {}) => reduce('sum', x, options, false),
  backward: (grad, { args: [x], saved }) => [spread(grad, saved, x.shape)],
  cases: reductionCases(),
})
