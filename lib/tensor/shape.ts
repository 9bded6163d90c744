import { describe, EspalierError } from '../native/index.js'

/** Dimensions, outermost first; [] is a scalar. */
export type Shape = readonly number[]

/** The kernels' limit. */
export const maxRank = 32

/** Elements of a tensor of this shape; the shape and every dimension are checked. */
export function sizeOf(shape: Shape): number {
  if (!Array.isArray(shape)) throw new EspalierError('INVALID_ARGUMENT', `shape is ${describe(shape)}, expected an array of dimensions`)
  if (shape.length > maxRank) throw new EspalierError('INVALID_ARGUMENT', `shape has ${shape.length} dimensions, expected at most ${maxRank}`)
  let size = 1
  for (const dimension of shape as Shape) {
    if (!Number.isSafeInteger(dimension) || dimension < 0)
      throw new EspalierError('INVALID_ARGUMENT', `shape ${describe(shape)}: ${describe(dimension)} is not a dimension`)
    size *= dimension
  }
  if (size > Number.MAX_SAFE_INTEGER) throw new EspalierError('INVALID_ARGUMENT', `shape ${describe(shape)} is too large`)
  return size
}

export const formatShape = (shape: Shape): string => `[${shape.join(', ')}]`

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((dimension, i) => dimension === b[i])

/** A dimension's index in 0…rank−1; negative ones count from the end. A scalar counts as having one. */
export function axisOf(operation: string, axis: number, rank: number): number {
  const count = Math.max(rank, 1)
  const index = axis < 0 ? axis + count : axis
  if (!Number.isInteger(axis) || index < 0 || index >= count)
    throw new EspalierError('INVALID_ARGUMENT', `${operation}: dim is ${describe(axis)}, expected ${-count} to ${count - 1}`)
  return index
}

/** The shape that both broadcast to (aligned at the last dimension; 1 stretches). */
export function broadcastShapes(operation: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a
  const rank = Math.max(a.length, b.length)
  const shape = new Array<number>(rank)
  for (let i = 0; i < rank; i++) {
    const left = a[i - rank + a.length] ?? 1
    const right = b[i - rank + b.length] ?? 1
    if (left !== right && left !== 1 && right !== 1)
      throw new EspalierError('SHAPE_MISMATCH', `${operation}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`)
    shape[i] = left === 1 ? right : left
  }
  return shape
}
