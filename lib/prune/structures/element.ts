import { native } from '../../native/index.js'
import { allocate, Tensor } from '../../tensor/index.js'
import type { Amount } from '../amounts/amount.js'
import type { Score } from '../scores/score.js'

/**
 * Single weights fall: the mask of a weight after an amount of its lowest scores fell. As in PyTorch
 * only entries whose mask is 1 are counted and fall, ranked by the masked weight; of equal scores the
 * lower index falls first.
 *
 * @param mask the mask so far, of the weight's shape and dtype, or null; it is not written to
 */
export function pruneElements(weight: Tensor, mask: Tensor | null, score: Score, amount: Amount): Tensor {
  const { size, shape, dtype } = weight
  const result = allocate(dtype, size)
  if (mask === null) {
    native.pruneSmallest([score.of(weight).data], [], Number(score.magnitude), amount.of({ remaining: size, total: size }), [result])
    return new Tensor(result, shape, dtype)
  }
  const open = new Uint8Array(size)
  let remaining = 0
  for (let i = 0; i < size; i++) if (mask.data[i] === 1) remaining += open[i] = 1
  const effective = new Tensor(allocate(dtype, size), shape, dtype)
  native.applyMask(weight.data, mask.data, effective.data)
  const left = new Uint8Array(size)
  native.pruneSmallest([score.of(effective).data], [open], Number(score.magnitude), amount.of({ remaining, total: size }), [left])
  for (let i = 0; i < size; i++) result[i] = open[i] === 0 ? mask.data[i] : left[i]
  return new Tensor(result, shape, dtype)
}
