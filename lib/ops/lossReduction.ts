import { describe, EspalierError, Reduction } from '../native/index.js'
import { empty, type Shape, type Tensor, wideOf } from '../tensor/index.js'

/** What becomes of the losses of the rows or elements: kept apart, averaged, or added. */
export interface LossOptions {
  /** Default 'mean'. */
  reduction?: keyof typeof Reduction
}

/** The kernels' code for it, else an error. */
export function reductionOf(operation: string, { reduction = 'mean' }: LossOptions): Reduction {
  if (typeof reduction === 'string' && Object.hasOwn(Reduction, reduction)) return Reduction[reduction]
  throw new EspalierError('INVALID_ARGUMENT', `${operation}: reduction is ${describe(reduction)}, expected 'mean', 'sum' or 'none'`)
}

/** Where the loss goes: one value a row or element, or a scalar; float32 for inputs of 16 bits. */
export const lossTensor = (reduction: Reduction, shape: Shape, { dtype }: Tensor): Tensor => empty(reduction === Reduction.none ? shape : [], wideOf(dtype))

/** The reductions in turn, for test cases. */
export const reductions = Object.keys(Reduction) as (keyof typeof Reduction)[]
