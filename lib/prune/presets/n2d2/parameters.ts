import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../../../native/index.js'

/** What becomes of a cell's threshold: none, the same throughout, or one that grows. */
export type PruneMode = 'Identity' | 'Static' | 'Gradual'

/** How masks are drawn: not at all, by lot, or by N2D2's iteration over magnitudes. */
export type PruneFiller = 'None' | 'Random' | 'IterNonStruct'

/** The parameters of a `PruneCell`, by their names in N2D2's Python. */
export interface PruneCellParameters {
  /** Share of each weight tensor to prune, 0 to 1. Default 0.2. */
  threshold: number
  /** Default 'Identity'. */
  pruneMode: PruneMode
  /** Default 'Random'. */
  pruneFiller: PruneFiller
  /** Step of the iteration of 'IterNonStruct', above 0. Default 0.001. */
  delta: number
  /** 'Gradual': the threshold at the start, 0 to 1. Default 0.1. */
  start: number
  /** 'Gradual': samples between two steps of the threshold; 0 (the default) for an epoch. */
  stepsize: number
  /** 'Gradual': what the threshold grows by, above 0. Default 0.05. */
  gamma: number
  /** Accepted and unused, as in N2D2. */
  range: number
  /** Accepted and unused, as in N2D2. */
  quantMode: string
}

type Check<Value> = (name: string, value: unknown) => Value

const share: Check<number> = (name, value) => realNumber(name, value, 0, 1)

const aboveZero: Check<number> = (name, value) => {
  ensure(Math.fround(realNumber(name, value, 0)) > 0, 'INVALID_ARGUMENT', () => `${name} is ${value}, expected a number above 0 in float32`)
  return value as number
}

const oneOf =
  <Word extends string>(...words: Word[]): Check<Word> =>
  (name, value) => {
    ensure(words.includes(value as Word), 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected ${words.join(', ')}`)
    return value as Word
  }

/**
 * Each parameter: its name in N2D2's INI files (after `QWeight.`) and C++, its default, and what it accepts.
 * N2D2 checks none of them.
 */
export const pruneCellParameters: {
  readonly [Name in keyof PruneCellParameters]: readonly [ini: string, PruneCellParameters[Name], Check<PruneCellParameters[Name]>]
} = {
  threshold: ['Threshold', 0.2, share],
  pruneMode: ['PruningMode', 'Identity', oneOf('Identity', 'Static', 'Gradual')],
  pruneFiller: ['PruningFiller', 'Random', oneOf('None', 'Random', 'IterNonStruct')],
  delta: ['Delta', 0.001, aboveZero],
  start: ['StartThreshold', 0.1, share],
  stepsize: ['StepSizeThreshold', 0, (name, value) => wholeNumber(name, value, 0, 2 ** 32 - 1)],
  gamma: ['GammaThreshold', 0.05, aboveZero],
  range: ['Range', 255, (name, value) => realNumber(name, value)],
  quantMode: ['QuantMode', 'Default', (_, value) => String(value)],
}

const names = Object.keys(pruneCellParameters) as (keyof PruneCellParameters)[]

/** The name used here of a parameter that is named as here, as in Python's snake_case, or as in an INI file. */
export function parameterNamed(name: string): keyof PruneCellParameters {
  const found = names.find((own) => [own, own.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), pruneCellParameters[own][0]].includes(name))
  if (found === undefined) throw new EspalierError('INVALID_ARGUMENT', `PruneCell: there is no parameter ${describe(name)}, only ${names.join(', ')}`)
  return found
}

/** All parameters from those that are given, checked. */
export function completeParameters(given: Partial<PruneCellParameters>): PruneCellParameters {
  const complete = Object.fromEntries(names.map((name) => [name, pruneCellParameters[name][1]])) as Record<string, unknown>
  for (const [name, value] of Object.entries(given)) {
    const own = parameterNamed(name)
    if (value !== undefined) complete[own] = pruneCellParameters[own][2](`PruneCell: ${name}`, value)
  }
  return complete as unknown as PruneCellParameters
}

/** What is set and does nothing, a sentence each; N2D2's own example sets a start and a gamma under Static. */
export function idleParameters(given: Partial<PruneCellParameters>, { pruneMode, pruneFiller, start, threshold }: PruneCellParameters): string[] {
  const idle: string[] = []
  const growth = Object.keys(given).filter((name) => ['start', 'stepsize', 'gamma'].includes(parameterNamed(name)))
  if (pruneMode !== 'Gradual' && growth.length > 0) idle.push(`${growth.join(' and ')} do nothing in mode ${pruneMode}, only in Gradual`)
  if (pruneMode === 'Gradual' && start >= threshold) idle.push(`the threshold never changes: start is ${start}, threshold ${threshold}`)
  if (pruneMode !== 'Identity' && pruneFiller === 'None') idle.push('nothing falls: the filler is None')
  return idle
}
