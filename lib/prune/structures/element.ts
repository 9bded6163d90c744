import { type NativeArray, native } from '../../native/index.js'
import { allocate, dtypeOf, hostValues, Tensor } from '../../tensor/index.js'
import type { Structure } from './structure.js'

/**
 * Single weights fall. As in PyTorch those whose mask is 1 may: entries of a mask that is not binary
 * scale, and neither count nor fall.
 */
export const element: Structure = {
  name: 'element',
  entries: true,
  units: (shape) => shape.reduce((size, dimension) => size * dimension, 1),
  open,
  rank: (scores) => hostValues(scores.storage),
  fall(shape, mask, left, standing = mask === null ? undefined : open(mask)) {
    const before = mask === null ? standing : hostValues(mask.storage)
    if (before !== undefined && standing !== before) for (let i = 0; i < left.length; i++) if (before[i] !== 1) left[i] = before[i]
    return new Tensor(left, shape, dtypeOf(left)!)
  },
}

function open(mask: Tensor): NativeArray {
  // The usual mask, of zeros and ones, says it itself.
  const values = hostValues(mask.storage)
  if (native.countOnes(values) >= 0) return values
  const ones = allocate(mask.dtype, mask.size)
  for (let i = 0; i < mask.size; i++) ones[i] = Number(values[i] === 1)
  return ones
}
