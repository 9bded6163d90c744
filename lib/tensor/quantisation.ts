import type { Tensor } from './tensor.js'

/**
 * How a tensor's values stand for integers: value = code · scale, min ≤ code ≤ max. Where a quantiser has
 * a zero point its own codes are those plus the zero point: here 0 is the code of the value 0 always, as
 * products and sums need it.
 */
export interface Quantisation {
  /** One element, or one an output channel, shaped to broadcast over the values. */
  readonly scale: Tensor
  /** The values of `scale` apart from the tape, where they are at hand. */
  readonly plain?: Tensor
  /** Smallest and largest code; the range contains 0. */
  readonly min: number
  readonly max: number
  /** What the quantiser adds to a code. Default 0. */
  readonly zeroPoint?: number
  /** The module whose clamp keeps the codes in range, where it says so. */
  readonly quantiser?: object
  /** Width of the quantiser's codes where the range does not tell it: 1 for −1 and 1. */
  readonly bits?: number
}
