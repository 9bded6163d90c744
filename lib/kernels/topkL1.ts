import { describe, ensure, native, wholeNumber } from '../native/index.js'
import { floats } from './arguments.js'

/**
 * The masks that keep the k largest |w| of several arrays taken together: 1 there, 0 elsewhere. Exact; of equal
 * ones those of the higher index, in the later array, are kept, so that raising k only ever adds.
 *
 * @returns a mask for each array, and the largest |w| among the dropped (−∞ where none is)
 * @throws EspalierError INVALID_ARGUMENT for a k beyond the number of weights, or NaN among them
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const { masks } = kernels.topkL1([Float32Array.of(3, -1), Float32Array.of(0.5, -2)], 2)
 * masks // [1, 0], [0, 1]
 * ```
 */
export function topkL1(weights: readonly Float32Array[], k: number): { masks: Uint8Array[]; threshold: number } {
  ensure(Array.isArray(weights), 'INVALID_ARGUMENT', () => `topkL1: weights is ${describe(weights)}, expected a list of Float32Arrays`)
  const total = weights.reduce((sum, array) => sum + floats('topkL1', 'weights', array).length, 0)
  wholeNumber('topkL1: k', k, 0, total)
  const masks = weights.map(({ length }) => new Uint8Array(length))
  const threshold = native.pruneSmallest(weights, [], 1, total - k, masks)
  return { masks, threshold }
}
