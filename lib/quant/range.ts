import { wholeNumber } from '../native/index.js'

/** The integers a quantiser may produce. */
export interface IntegerRange {
  readonly min: number
  readonly max: number
}

export interface CodeOptions {
  /** Bit width of a code, 2 to 8; 1 as well for unsigned codes that are not narrow. */
  bits: number
  /** Two's complement codes, or codes from 0. */
  signed: boolean
  /** Leave out one end, so that signed codes are symmetric. */
  narrow?: boolean
}

/**
 * The codes of a width: signed −2^(b−1) … 2^(b−1)−1 (narrow: from −2^(b−1)+1), unsigned 0 … 2^b−1
 * (narrow: to 2^b−2). Brevitas' conventions.
 */
export function integerRange({ bits, signed, narrow = false }: CodeOptions): IntegerRange {
  wholeNumber('bits', bits, signed || narrow ? 2 : 1, 8)
  const cut = narrow ? 1 : 0
  return signed ? { min: -(2 ** (bits - 1)) + cut, max: 2 ** (bits - 1) - 1 } : { min: 0, max: 2 ** bits - 1 - cut }
}

/**
 * The code a threshold is mapped to, so that scale = threshold / it. With a power of two for threshold
 * it is one too, whatever the range leaves out, so that the scale is a shift. Brevitas' conventions.
 */
export const codeOfThreshold = ({ bits, signed, narrow = false }: CodeOptions, powerOfTwo = false): number =>
  powerOfTwo ? 2 ** (signed ? bits - 1 : bits) : signed ? 2 ** (bits - 1) - (narrow ? 1 : 0) : 2 ** bits - 1

/** The width and kind of code that a range belongs to, the inverse of `integerRange`. */
export function codesOf({ min, max }: IntegerRange): { bits: number; signed: boolean } {
  const signed = min < 0
  return { bits: signed ? bitsFor(min, max) : bitsFor(0, max) - 1, signed }
}

/** The least two's complement width that holds every integer in [min, max]. */
export function bitsFor(min: number, max: number): number {
  let bits = 1
  while (min < -(2 ** (bits - 1)) || max > 2 ** (bits - 1) - 1) bits++
  return bits
}

/** The smallest and the largest of some integers; 0 … 0 of none. */
export function rangeOf(values: ArrayLike<number>): IntegerRange {
  let [min, max] = values.length > 0 ? [values[0], values[0]] : [0, 0]
  for (let i = 1; i < values.length; i++) {
    if (values[i] < min) min = values[i]
    if (values[i] > max) max = values[i]
  }
  return { min, max }
}
