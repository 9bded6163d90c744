import type { Sample } from '../autograd/index.js'
import { Binary, native } from '../native/index.js'
import { empty, type Shape, type Tensor } from '../tensor/index.js'
import { combine } from './binary.js'
import { floatTensor, markDims } from './operand.js'
import { expanded, reshaped } from './strided.js'

// What sum and mean share.

export interface ReductionOptions {
  /** The dimensions that go, negative ones counted from the end; all of them by default (null). */
  dim?: number | readonly number[] | null
  /** Keep them with one element each. Default false. */
  keepdim?: boolean
}

/** The sum over dimensions, divided by the number of terms for a mean. */
export function reduce(name: string, x: Tensor, { dim = null, keepdim = false }: ReductionOptions, mean: boolean): { output: Tensor; saved: Reduced } {
  floatTensor(name, 'x', x)
  const reduced = markDims(name, dim, x.rank)
  const kept = x.shape.map((dimension, i) => (reduced[i] ? 1 : dimension))
  const divisor = mean ? x.shape.reduce((product, dimension, i) => (reduced[i] ? product * dimension : product), 1) : 1
  const output = empty(keepdim ? kept : x.shape.filter((_, i) => !reduced[i]), x.dtype)
  native.sum(x.shape, reduced, divisor, x.storage, output.storage)
  return { output, saved: { kept, divisor } }
}

export interface Reduced {
  /** The result's shape with the reduced dimensions kept as 1. */
  kept: Shape
  divisor: number
}

/** The gradient of `reduce`: every term gets its sum's, divided. */
export function spread(grad: Tensor, { kept, divisor }: Reduced, shape: Shape): Tensor {
  const share = divisor === 1 ? grad : combine('mean', Binary.div, grad, divisor)
  return expanded(reshaped(share, kept), shape)
}

export const reductionCases =
  () =>
  (sample: Sample): [Tensor, ReductionOptions][] => [
    [sample([]), {}],
    [sample([1]), {}],
    [sample([7]), {}],
    [sample([33]), { dim: 0 }],
    [sample([33]), { dim: 0, keepdim: true }],
    [sample([2, 3]), {}],
    [sample([2, 3]), { keepdim: true }],
    [sample([2, 3]), { dim: 0 }],
    [sample([2, 3]), { dim: 1 }],
    [sample([2, 3]), { dim: -1, keepdim: true }],
    [sample([5, 17]), { dim: [0] }],
    [sample([5, 17]), { dim: [1] }],
    [sample([5, 17]), { dim: [0, 1] }],
    [sample([2, 3, 4]), { dim: 1 }],
    [sample([2, 3, 4]), { dim: [0, 2] }],
    [sample([2, 3, 4]), { dim: [0, 2], keepdim: true }],
    [sample([2, 3, 4]), { dim: [2, 1] }],
    [sample([2, 3, 2, 5]), { dim: [0, 2, 3] }],
    [sample([2, 3, 2, 5]), { dim: [1, 3] }],
    [sample([3, 1, 9]), { dim: 1 }],
    [sample([0, 3]), { dim: 1 }],
    [sample([2, 3]), { dim: [] }],
    [sample([70, 3]), { dim: 0 }],
  ]
