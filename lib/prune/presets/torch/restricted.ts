import { describe, ensure } from '../../../native/index.js'
import { allocate, formatShape, full, type Shape, sameShape, Tensor } from '../../../tensor/index.js'
import type { Ranked } from '../../drawMasks.js'
import { slice } from '../../structures/slice.js'

/** What a method acts on: single entries, slices along `dim`, or the mask as a whole. */
export type PruningType = 'unstructured' | 'structured' | 'global'

interface Method {
  readonly pruningType: PruningType
  readonly dim?: number
  computeMask(t: Tensor, defaultMask: Tensor): Tensor
}

/**
 * The masks of weights, taken together, after a method of any kind acted on what their masks left:
 * the entries or slices that may still fall are picked out, shown to `computeMask`, and its mask of
 * them put back in their places. What a `PruningContainer` does in PyTorch.
 */
export function restricted(method: Method, weights: readonly Ranked[]): Tensor[] {
  if (weights.length === 1) return [restrictedOne(method, weights[0])]
  const joined = restrictedOne(method, joinedFlat(weights))
  let end = 0
  return weights.map(({ weight: { size, shape, dtype } }) => {
    end += size
    return new Tensor(joined.data.slice(end - size, end), shape, dtype)
  })
}

function restrictedOne(method: Method, { weight, mask }: Ranked): Tensor {
  if (mask === null) return converted(method.computeMask(weight, full(weight.shape, 1, { dtype: weight.dtype })), weight)
  if (method.pruningType === 'global') return converted(method.computeMask(weight, mask), weight)
  const { places, shape } = left(method, mask)
  const pick = ({ data, dtype }: Tensor): Tensor =>
    new Tensor(
      allocate(dtype, places.length).map((_: number, i: number) => data[places[i]]),
      shape,
      dtype,
    )
  const seen = pick(weight)
  const fresh = converted(method.computeMask(seen, pick(mask)), seen)
  const result = mask.copy()
  for (const [i, place] of places.entries()) result.data[place] = fresh.data[i]
  return result
}

/** The places in a mask that a method may act on, in order, and the shape they have side by side. */
function left({ pruningType, dim = -1 }: Method, mask: Tensor): { places: number[]; shape: Shape } {
  const all = Array.from(mask.data.keys())
  if (pruningType === 'unstructured') {
    const places = all.filter((place) => mask.data[place] === 1)
    return { places, shape: [places.length] }
  }
  ensure(pruningType === 'structured', 'INVALID_ARGUMENT', () => `prune: the type of the method is ${describe(pruningType)}`)
  const open = slice(dim).open(mask)
  const axis = dim < 0 ? dim + mask.rank : dim
  const inner = mask.shape.slice(axis + 1).reduce((size, dimension) => size * dimension, 1)
  const places = all.filter((place) => open[Math.floor(place / inner) % open.length] === 1)
  return { places, shape: mask.shape.with(axis, open.filter((entry: number) => entry === 1).length) }
}

/** Weights end to end, as one of one dimension. */
function joinedFlat(weights: readonly Ranked[]): Ranked {
  const [{ dtype }] = weights.map(({ weight }) => weight)
  const size = weights.reduce((sum, { weight }) => sum + weight.size, 0)
  const [data, masks] = [allocate(dtype, size), allocate(dtype, size).fill(1)]
  let begin = 0
  for (const { weight, mask } of weights) {
    ensure(weight.dtype === dtype, 'DTYPE_MISMATCH', () => `prune: weights of ${dtype} and ${weight.dtype} cannot be ranked together`)
    data.set(weight.data as never, begin)
    if (mask !== null) masks.set(mask.data as never, begin)
    begin += weight.size
  }
  const mask = weights.every(({ mask }) => mask === null) ? null : new Tensor(masks, [size], dtype)
  return { weight: new Tensor(data, [size], dtype), mask }
}

/** A mask in the dtype of the tensor it is for; an error for one of another shape, or that holds a NaN. */
export function converted(mask: Tensor, { shape, dtype }: Tensor): Tensor {
  ensure(mask instanceof Tensor, 'INVALID_ARGUMENT', () => `prune: the mask is ${describe(mask)}, expected a tensor`)
  ensure(sameShape(mask.shape, shape), 'SHAPE_MISMATCH', () => `prune: the mask has shape ${formatShape(mask.shape)}, the weight ${formatShape(shape)}`)
  let good = true
  for (let i = 0; i < mask.size; i++) good &&= !Number.isNaN(mask.data[i])
  ensure(good, 'INVALID_ARGUMENT', () => 'prune: the mask holds a NaN')
  if (mask.dtype === dtype) return mask
  const data = allocate(dtype, mask.size)
  data.set(mask.data as never)
  return new Tensor(data, shape, dtype)
}
