import { noGrad } from '../../autograd/index.js'
import { ensure, native } from '../../native/index.js'
import { sum } from '../../ops/index.js'
import { allocate, axisOf, dtypeOf, formatShape, full, type Shape, type Tensor } from '../../tensor/index.js'
import type { Structure } from './structure.js'

/** A structure whose units are the slices of one dimension. */
export interface Slices extends Structure {
  /** The dimension; negative ones count from the end. */
  readonly dim: number
}

/**
 * All weights of one index along `dim` fall together: filters of a convolution (dim 0), its input
 * channels (1), rows (0) and columns (1) of a linear layer. A slice may fall while any entry of its mask is
 * not 0. Weights of fewer than two dimensions have no slices.
 */
export function slice(dim: number): Slices {
  const axisIn = (shape: Shape): number => {
    ensure(shape.length >= 2, 'INVALID_ARGUMENT', () => `slice: the weight has shape ${formatShape(shape)}, expected two dimensions or more`)
    return axisOf('slice', dim, shape.length)
  }
  const others = (shape: Shape): number[] => {
    const axis = axisIn(shape)
    return shape.map((_, i) => Number(i !== axis))
  }
  const norms = ({ data, shape, dtype }: Tensor, p: number) => {
    const result = allocate(dtype, shape[axisIn(shape)])
    native.sliceNorm(shape, others(shape), p, data, result)
    return result
  }
  return {
    name: `slice(${dim})`,
    dim,
    units: (shape) => shape[axisIn(shape)],
    open: (mask) => norms(mask, 0).map((entries: number) => Number(entries !== 0)),
    rank(scores, { magnitude, norm = 1 }) {
      if (magnitude) return norms(scores, norm)
      const axis = axisIn(scores.shape)
      return noGrad(() => sum(scores, { dim: scores.shape.map((_, i) => i).filter((i) => i !== axis) })).data
    },
    fall(shape, mask, left) {
      const axis = axisIn(shape)
      const result = mask?.copy() ?? full(shape, 1, { dtype: dtypeOf(left) })
      const inner = shape.slice(axis + 1).reduce((size, dimension) => size * dimension, 1)
      for (let begin = 0, unit = 0; begin < result.size; begin += inner, unit = (unit + 1) % shape[axis])
        if (left[unit] === 0) result.data.fill(0, begin, begin + inner)
      return result
    },
  }
}
