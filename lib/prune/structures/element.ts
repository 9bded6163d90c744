import { DeviceArray, type NativeArray, native, type Storage } from '../../native/index.js'
import { allocate, converted, dtypeOf, hostValues, Tensor } from '../../tensor/index.js'
import type { Structure } from './structure.js'

/** What `element` does, with weights and masks wherever they lie. */
export const singleEntries = {
  open(mask: Tensor): Storage {
    // The usual mask, of zeros and ones, says it itself.
    if (native.countOnes(mask.storage) >= 0) return mask.storage
    const entries = hostValues(mask.storage)
    const ones = allocate(mask.dtype, mask.size)
    for (let i = 0; i < mask.size; i++) ones[i] = Number(entries[i] === 1)
    return beside(mask, ones)
  },
  rank: (scores: Tensor): Storage => scores.storage,
  fall(shape: Tensor['shape'], mask: Tensor | null, left: Storage, standing?: Storage): Tensor {
    const dtype = left instanceof DeviceArray ? left.dtype : dtypeOf(left)!
    if (mask === null || (standing ?? singleEntries.open(mask)) === mask.storage) return new Tensor(left, shape, dtype)
    const [entries, result] = [hostValues(mask.storage), hostValues(left)]
    for (let i = 0; i < result.length; i++) if (entries[i] !== 1) result[i] = entries[i]
    return new Tensor(beside(mask, result), shape, dtype)
  },
}

/** What was made of a mask on the CPU, where the mask lies. */
const beside = ({ dtype, device }: Tensor, made: NativeArray): Storage => (device === 'cpu' ? made : converted(made, dtype, device))

/**
 * Single weights fall. As in PyTorch those whose mask is 1 may: entries of a mask that is not binary
 * scale, and neither count nor fall.
 */
export const element: Structure = {
  name: 'element',
  entries: true,
  units: (shape) => shape.reduce((size, dimension) => size * dimension, 1),
  open: (mask) => singleEntries.open(mask) as NativeArray,
  rank: (scores) => scores.data,
  fall: singleEntries.fall,
}

/** Whether a structure's units are the entries that `element` tells apart, whatever groups they are counted in. */
export const tellsEntries = ({ open, rank, fall }: Structure): boolean => open === element.open && rank === element.rank && fall === element.fall
