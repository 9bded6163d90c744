import { native } from '../../native/index.js'
import { expand, transpose } from '../../ops/index.js'
import { allocate, axisOf, type Tensor, zeros } from '../../tensor/index.js'
import { slice } from '../structures/slice.js'
import type { Score } from './score.js'

/**
 * Of each filter the summed distance to the other filters of its layer, at each of its weights: those in
 * the middle of the others can be replaced by them, and fall first. Meant for the structure `filter`; fallen
 * filters count no more. He et al. 2019.
 *
 * @param options.dim the dimension whose slices are compared. Default 0: filters
 */
export function fpgm({ dim = 0 }: { dim?: number } = {}): Score {
  return {
    name: 'fpgm',
    magnitude: true,
    // All entries of a slice have its score: the largest is it.
    norm: Number.POSITIVE_INFINITY,
    of: (weight, { mask }) => distances(weight, mask, axisOf('fpgm', dim, weight.rank)),
  }
}

function distances(weight: Tensor, mask: Tensor | null, axis: number): Tensor {
  const { dtype, shape } = weight
  const slices = transpose(weight, 0, axis)
  const [rows, columns] = [shape[axis], weight.size / Math.max(1, shape[axis])]
  const standing = mask === null ? null : slice(axis).open(mask)
  const places = Array.from({ length: rows }, (_, i) => i).filter((i) => standing === null || standing[i] !== 0)
  const kept = allocate(dtype, places.length * columns)
  for (const [i, place] of places.entries()) kept.set(slices.data.subarray(place * columns, (place + 1) * columns) as never, i * columns)
  const sums = allocate(dtype, places.length)
  native.distanceSums(kept, places.length, columns, sums)
  const all = zeros([rows], { dtype })
  for (const [i, place] of places.entries()) all.data[place] = sums[i]
  return expand(all.reshape(shape.map((size, i) => (i === axis ? size : 1))), [...shape])
}
