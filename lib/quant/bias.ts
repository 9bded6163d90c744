import { wholeNumber } from '../native/index.js'
import type { IntegerRange } from './range.js'

export interface BiasOptions {
  /**
   * Width of an integer bias in units of the accumulator, scale_in · scale_weight, 2 to 32 bits. It is
   * part of the accumulator then. Default: a float bias, added to the scaled sum.
   */
  biasBits?: number
}

/** The codes an integer bias may take, or null for a float one. */
export function biasRangeOf({ biasBits }: BiasOptions): IntegerRange | null {
  if (biasBits === undefined) return null
  wholeNumber('biasBits', biasBits, 2, 32)
  return { min: -(2 ** (biasBits - 1)), max: 2 ** (biasBits - 1) - 1 }
}
