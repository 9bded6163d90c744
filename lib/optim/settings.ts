import { describe, EspalierError, realNumber } from '../native/index.js'

/** Accepts a value of a setting or throws an error that names it. */
export type Check<V> = (name: string, value: unknown) => V

export const atLeast =
  (low: number): Check<number> =>
  (name, value) =>
    realNumber(name, value, low)

export const between =
  (low: number, high: number): Check<number> =>
  (name, value) =>
    realNumber(name, value, low, high)

/** A decay rate of a running mean: 0 ≤ value < 1. */
export const decayRate: Check<number> = (name, value) => {
  if (realNumber(name, value, 0, 1) === 1) throw new EspalierError('INVALID_ARGUMENT', `${name} is 1, expected a number below 1`)
  return value as number
}

export const flag: Check<boolean> = (name, value) => {
  if (typeof value !== 'boolean') throw new EspalierError('INVALID_ARGUMENT', `${name} is ${describe(value)}, expected true or false`)
  return value
}

export const pairOfRates: Check<readonly [number, number]> = (name, value) => {
  if (!Array.isArray(value) || value.length !== 2)
    throw new EspalierError('INVALID_ARGUMENT', `${name} is ${describe(value)}, expected two numbers from 0 to below 1`)
  return [decayRate(`${name}[0]`, value[0]), decayRate(`${name}[1]`, value[1])]
}

/** What an optimiser can be told: for each setting its default and its check. */
export type Settings<Options> = { readonly [Name in keyof Options]: readonly [fallback: Options[Name], check: Check<Options[Name]>] }
