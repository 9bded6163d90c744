import { EspalierError } from '../../native/index.js'
import { formatShape, type Shape } from '../../tensor/index.js'

/** How many inputs an output of a weight sums, and the reverse: dimension 1 (and 0) times the kernel's size. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2) throw new EspalierError('SHAPE_MISMATCH', `fans: shape ${formatShape(shape)} has fewer than two dimensions`)
  const kernel = shape.slice(2).reduce((product, dimension) => product * dimension, 1)
  return { fanIn: shape[1] * kernel, fanOut: shape[0] * kernel }
}
