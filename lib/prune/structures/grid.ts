import { noGrad } from '../../autograd/index.js'
import { type NativeArray, native } from '../../native/index.js'
import { mul } from '../../ops/index.js'
import { allocate, allocateStorage, dtypeOf, full, hostValues, type Shape, sizeOf, Tensor } from '../../tensor/index.js'
import type { Structure } from './structure.js'

/** A weight cut into a shape of more or fewer dimensions, of which every index of the `kept` ones is a unit. */
export interface Cut {
  /** As many entries as the weight, in its order. */
  readonly shape: Shape
  /** 1 for dimensions that count units, 0 for those that run through a unit. */
  readonly kept: readonly (0 | 1)[]
}

/**
 * A structure whose units are the indices of some dimensions of the weight, or of the weight cut anew: most
 * structures are. A unit may fall while any entry of its mask is not 0.
 * @param cut how a weight of a shape is cut; throws where it has no such units
 */
export function grid(name: string, cut: (shape: Shape) => Cut): Structure {
  const reduced = ({ kept }: Cut): number[] => kept.map((count) => 1 - count)
  // Of what lies on a GPU only the norms come to the CPU.
  const norms = ({ storage, device, shape, dtype }: Tensor, p: number): NativeArray => {
    const pieces = cut(shape)
    const result = allocateStorage(device, dtype, unitsOf(pieces))
    native.sliceNorm(pieces.shape, reduced(pieces), p, storage, result)
    return hostValues(result)
  }
  return {
    name,
    units: (shape) => unitsOf(cut(shape)),
    open: (mask) => norms(mask, 0).map((entries: number) => Number(entries !== 0)) as NativeArray,
    rank(scores, { magnitude, norm = 1 }) {
      if (magnitude) return norms(scores, norm)
      const pieces = cut(scores.shape)
      const result = allocate(scores.dtype, unitsOf(pieces))
      native.sum(pieces.shape, reduced(pieces), 1, scores.data, result)
      return result
    },
    fall(shape, mask, left) {
      const pieces = cut(shape)
      const dtype = dtypeOf(left)!
      const inner = pieces.shape.slice(pieces.kept.lastIndexOf(1) + 1).reduce((product, size) => product * size, 1)
      // The first mask of filters and the like: long runs to fill, which spares two passes over memory.
      if (mask === null && inner >= 16 && left.length * inner === sizeOf(shape)) {
        const data = allocate(dtype, left.length * inner)
        for (let unit = 0; unit < left.length; unit++) data.fill(left[unit], unit * inner, (unit + 1) * inner)
        return new Tensor(data, shape, dtype)
      }
      const stays = new Tensor(
        left,
        pieces.shape.map((size, i) => (pieces.kept[i] === 1 ? size : 1)),
        dtype,
      )
      const before = mask?.data ?? full(shape, 1, { dtype }).data
      return new Tensor(noGrad(() => mul(new Tensor(before, pieces.shape, dtype), stays)).data, shape, dtype)
    },
  }
}

const unitsOf = ({ shape, kept }: Cut): number => shape.reduce((product, size, i) => (kept[i] === 1 ? product * size : product), 1)
