import { type NativeArray, native } from '../../native/index.js'
import { allocate, dtypeOf, Tensor } from '../../tensor/index.js'
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
  rank: (scores) => scores.data,
  fall(shape, mask, left, standing = mask === null ? undefined : open(mask)) {
    if (mask !== null && standing !== mask.data) for (let i = 0; i < left.length; i++) if (mask.data[i] !== 1) left[i] = mask.data[i]
    return new Tensor(left, shape, dtypeOf(left)!)
  },
}

function open(mask: Tensor): NativeArray {
  // The usual mask, of zeros and ones, says it itself.
  if (native.countOnes(mask.data) >= 0) return mask.data
  const ones = allocate(mask.dtype, mask.size)
  for (let i = 0; i < mask.size; i++) ones[i] = Number(mask.data[i] === 1)
  return ones
}
