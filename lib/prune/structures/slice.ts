import { ensure } from '../../native/index.js'
import { axisOf, formatShape, type Shape } from '../../tensor/index.js'
import { grid } from './grid.js'
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
  const cut = (shape: Shape) => {
    ensure(shape.length >= 2, 'INVALID_ARGUMENT', () => `slice: the weight has shape ${formatShape(shape)}, expected two dimensions or more`)
    const axis = axisOf('slice', dim, shape.length)
    return { shape, kept: shape.map((_, i) => (i === axis ? 1 : 0)) }
  }
  return { ...grid(`slice(${dim})`, cut), dim }
}
