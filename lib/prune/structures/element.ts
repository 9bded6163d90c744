import type { NativeArray } from '../../native/index.js'
import { allocate, dtypeOf, Tensor } from '../../tensor/index.js'
import type { Structure } from './structure.js'

/**
 * Single weights fall. As in PyTorch those whose mask is 1 may: entries of a mask that is not binary
 * scale, and neither count nor fall.
 */
export const element: Structure = {
  name: 'element',
  units: (shape) => shape.reduce((size, dimension) => size * dimension, 1),
  open(mask) {
    // The usual mask, of zeros and ones, says it itself.
    if (isBinary(mask.data)) return mask.data
    const open = allocate(mask.dtype, mask.size)
    for (let i = 0; i < mask.size; i++) open[i] = Number(mask.data[i] === 1)
    return open
  },
  rank: (scores) => scores.data,
  fall(shape, mask, left) {
    if (mask !== null && !isBinary(mask.data)) for (let i = 0; i < left.length; i++) if (mask.data[i] !== 1) left[i] = mask.data[i]
    return new Tensor(left, shape, dtypeOf(left)!)
  },
}

// Without a branch on the entries: in a mask half of those would be guessed wrongly.
function isBinary(mask: NativeArray): boolean {
  let others = 0
  for (let i = 0; i < mask.length; i++) others |= Number(mask[i] * (mask[i] - 1) !== 0)
  return others === 0
}
