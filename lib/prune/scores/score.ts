import type { Tensor } from '../../tensor/index.js'

/** How much each weight matters: of several, those of the lowest score fall first. */
export interface Score {
  readonly name: string
  /** A tensor of the weight's shape and dtype, NaN nowhere; may be the weight itself. Under a mask it is given the masked weight. */
  of(weight: Tensor): Tensor
  /** Whether entries are ranked by their absolute value, which selection takes on its way. */
  readonly magnitude: boolean
  /**
   * With `magnitude`, the order of the norm that ranks entries that fall together, ±∞ included; 1 if
   * absent. Without it they are ranked by their sum.
   */
  readonly norm?: number
}
