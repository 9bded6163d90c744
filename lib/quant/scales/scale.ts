import type { Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'
import type { Gradient } from '../roundings.js'

/** Where the scale of a quantiser comes from. One that learns or remembers something is a module. */
export interface Scale {
  /** Whether it gives powers of two, so that scaling is a shift. */
  readonly powerOfTwo: boolean
  /**
   * The scale for x, on the tape: one, or one a channel, shaped to broadcast over x.
   *
   * @param top the code that the threshold stands for, so that scale = threshold / top
   */
  of(x: Tensor, top: number): Tensor
  /** Whether `of` looks at x, as it is when it is called. */
  readonly follows: boolean
  /**
   * x rounded half to even on the grid of that scale, without a zero point, where there is a faster way
   * to it; null where there is none.
   */
  quantise?(x: Tensor, top: number, codes: IntegerRange, gradient: Gradient): Quantised | null
}

export interface Quantised {
  readonly y: Tensor
  /** The scale of y, apart from the tape. */
  readonly plain: Tensor
  /** The same on the tape, from when it is called. */
  readonly scale: () => Tensor
}
