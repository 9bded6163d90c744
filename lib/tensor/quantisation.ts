import type { Tensor } from './tensor.js'

/** How a tensor's values stand for integers: value = code · scale, min ≤ code ≤ max. */
export interface Quantisation {
  /** One element, or one an output channel, shaped to broadcast over the values. */
  readonly scale: Tensor
  /** Smallest and largest code; the range contains 0. */
  readonly min: number
  readonly max: number
}
