import { asTensor } from '../autograd/index.js'
import { describe, EspalierError } from '../native/index.js'
import { axisOf, formatShape, isFloat, type Shape, sizeOf, type Tensor } from '../tensor/index.js'

/** The argument as a float32 or float64 tensor, else an error. */
export function floatTensor(operation: string, name: string, value: unknown): Tensor {
  const found = asTensor(operation, name, value)
  if (!isFloat(found.dtype)) throw new EspalierError('DTYPE_MISMATCH', `${operation}: ${name} is ${found.dtype}, expected float32 or float64`)
  return found
}

/** The dimensions an argument names, as a mark for each: all of them for null. */
export function markDims(operation: string, dim: number | readonly number[] | null | undefined, rank: number): number[] {
  if (dim === null || dim === undefined) return new Array<number>(rank).fill(1)
  const marks = new Array<number>(rank).fill(0)
  for (const axis of typeof dim === 'number' ? [dim] : dim) {
    const index = axisOf(operation, axis, rank)
    if (rank === 0) continue // a scalar has one dimension to name, 0, and nothing in it to mark
    if (marks[index] === 1) throw new EspalierError('INVALID_ARGUMENT', `${operation}: dim ${describe(dim)} names dimension ${index} twice`)
    marks[index] = 1
  }
  return marks
}

/** `asked` with its −1, if any, worked out so that it has `size` elements. */
export function completeShape(operation: string, asked: Shape, size: number): Shape {
  if (!Array.isArray(asked)) throw new EspalierError('INVALID_ARGUMENT', `${operation}: shape is ${describe(asked)}, expected an array`)
  const open = asked.indexOf(-1)
  const shape = [...(asked as Shape)]
  if (open >= 0) {
    const rest = sizeOf(shape.map((dimension, i) => (i === open ? 1 : dimension)))
    shape[open] = rest === 0 ? 0 : size / rest
    if (rest === 0 || !Number.isInteger(shape[open]))
      throw new EspalierError('SHAPE_MISMATCH', `${operation}: shape ${formatShape(asked)} cannot hold ${size} elements`)
  } else if (sizeOf(shape) !== size)
    throw new EspalierError('SHAPE_MISMATCH', `${operation}: shape ${formatShape(asked)} has ${sizeOf(shape)} elements, the tensor ${size}`)
  return shape
}
