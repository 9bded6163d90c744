import type { Tensor } from '../tensor/index.js'
import { div } from './div.js'
import { mean } from './mean.js'
import { floatTensor, markDims } from './operand.js'
import type { ReductionOptions } from './reduction.js'
import { sqrt } from './sqrt.js'
import { square } from './square.js'
import { sub } from './sub.js'
import { sum } from './sum.js'

export interface VarianceOptions extends ReductionOptions {
  /** What is taken off the number of values before dividing by it. Default 1: the unbiased variance of a sample. */
  correction?: number
}

/** The variance over dimensions, in two passes: mean, then squared distances from it. */
export function variance(x: Tensor, { dim = null, keepdim = false, correction = 1 }: VarianceOptions = {}): Tensor {
  floatTensor('variance', 'x', x)
  const marks = markDims('variance', dim, x.rank)
  const count = x.shape.reduce((product, dimension, d) => (marks[d] ? product * dimension : product), 1)
  const distance = sub(x, mean(x, { dim, keepdim: true }))
  return div(sum(square(distance), { dim, keepdim }), Math.max(0, count - correction))
}

/** The standard deviation over dimensions. */
export const std = (x: Tensor, options?: VarianceOptions): Tensor => sqrt(variance(x, options))
