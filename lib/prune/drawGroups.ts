import { cudaOn, type Device, DeviceArray, type NativeArray, native, type Storage } from '../native/index.js'
import { allocateStorage, converted, deviceOf, hostValues } from '../tensor/index.js'
import type { Amount } from './amounts/amount.js'
import { kept } from './amounts/atLeast.js'
import { fallingOf } from './amounts/fallingOf.js'

/** Scores of the units of one weight, [outer, size, inner], of which every `size` along the middle are a group. */
export interface Grouped {
  readonly ranks: Storage
  readonly magnitude: boolean
  /** For each unit 1 where it still stands; null: all do. */
  readonly open: Storage | null
  readonly groups: readonly [outer: number, size: number, inner: number]
}

/** Lets the amount fall in each group for itself; `left` receives 0 for those that fell or had fallen. Gives the units asked for in all. */
export function drawGroups({ ranks, magnitude, open, groups: [outer, size, inner] }: Grouped, amount: Amount, left: Storage): number {
  const count = outer * inner
  const device = deviceOf(left)
  let looked: { ranks: NativeArray; open: NativeArray | null } | null = null
  const wanted = (group: number, remaining: number): number => {
    const begin = Math.floor(group / inner) * size * inner + (group % inner)
    const entries = (of: NativeArray): NativeArray => Float64Array.from({ length: size }, (_, i) => of[begin + i * inner])
    const scores = (): { ranks: NativeArray[]; open: NativeArray[] } => {
      looked ??= { ranks: hostValues(ranks), open: open && hostValues(open) }
      return { ranks: [entries(looked.ranks)], open: looked.open === null ? [] : [entries(looked.open)] }
    }
    return fallingOf(amount, { remaining, total: size, magnitude, scores })
  }
  const least = kept(amount, size)
  const prune = (falling: Int32Array): void => {
    const there = device === 'cpu' ? falling : converted(falling, 'int32', device)
    native.pruneGroups(ranks, open, Number(magnitude), outer, size, inner, there, left)
    // A NaN among the scores is told of before any mask is set.
    if (left instanceof DeviceArray) cudaOn(left.device).addon.synchronize()
  }

  if (open === null && count > 0) {
    const each = wanted(0, size)
    if (looked === null) {
      prune(Int32Array.of(Math.min(each, size - least)))
      return count * each
    }
  }
  const standing = standingIn(open, [outer, size, inner], device)
  // Most amounts follow from the number that stands: they are asked once for each such number.
  const known = new Int32Array(size + 1).fill(-1)
  const falling = new Int32Array(count)
  let asked = count * size
  for (let group = 0; group < count; group++) {
    const remaining = standing[group]
    if (looked !== null || known[remaining] < 0) known[remaining] = wanted(group, remaining)
    falling[group] = Math.min(known[remaining], Math.max(0, remaining - least))
    asked += known[remaining] - remaining
  }
  prune(falling)
  return asked
}

/** How many units of each group stand. */
function standingIn(open: Storage | null, [outer, size, inner]: Grouped['groups'], device: Device): NativeArray {
  if (open === null) return new Int32Array(outer * inner).fill(size)
  const counts = allocateStorage(device, 'int32', outer * inner)
  native.countGroups(open, outer, size, inner, counts)
  return hostValues(counts)
}
