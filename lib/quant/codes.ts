import { type CodeOptions, codeOfThreshold, type IntegerRange, integerRange } from './range.js'

/** The integers of a quantiser. */
export interface Codes extends IntegerRange {
  /** Their width, bits. */
  readonly bits: number
  /** The code that a threshold becomes, with scales that are powers of two or not. */
  top(powerOfTwo: boolean): number
}

/** Signed or unsigned integers of a width; see `integerRange`. */
export const integer = (options: CodeOptions): Codes => ({
  ...integerRange(options),
  bits: options.bits,
  top: (powerOfTwo) => codeOfThreshold(options, powerOfTwo),
})

/** −1 and 1. */
export const bipolar: Codes = { min: -1, max: 1, bits: 1, top: () => 1 }

/** −1, 0 and 1. */
export const ternary: Codes = { min: -1, max: 1, bits: 2, top: () => 1 }
