import type { Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'

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
  /** x rounded half to even on the grid of that scale, straight-through, where there is a faster way to it. */
  quantise?(x: Tensor, top: number, codes: IntegerRange): { y: Tensor; scale: Tensor }
}
