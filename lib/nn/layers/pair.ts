import { describe, ensure, wholeNumber } from '../../native/index.js'

/** One number for both directions, or [height, width]. */
export type Pair = number | readonly [height: number, width: number]

/** A size as [height, width], each a whole number of at least `low`. */
export function pairOf(name: string, value: Pair, low: number): readonly [number, number] {
  if (typeof value === 'number') {
    wholeNumber(name, value, low)
    return [value, value]
  }
  ensure(Array.isArray(value) && value.length === 2, 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected a whole number or [height, width]`)
  return [wholeNumber(`${name}[0]`, value[0], low), wholeNumber(`${name}[1]`, value[1], low)]
}
