// Accuracy under proved accumulators: TinyCNN on the digits, LeNet on MNIST, Concrete ML's checkerboard, several seeds
// each. Every network is certified for its width and run in exact integers before its accuracy counts. It takes
// long and so runs only when asked for by name; what is finished is kept in build-bench/accumulators.json, and a
// second start goes on from there.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { workshop } from '../support/package.js'
import * as checkerboard from './checkerboard.js'
import * as digits from './digits.js'
import * as mnist from './mnist.js'
import type { Outcome } from './recipe.js'

interface Part {
  name: string
  seeds: readonly number[]
  settings: readonly { accumulatorBits: number }[]
  trained(setting: never, seed: number): Promise<Omit<Outcome, 'seconds'>>
}

const parts: readonly Part[] = [
  { name: 'digits, TinyCNN', seeds: [1, 2, 3, 4, 5], settings: digits.settings, trained: digits.trained },
  { name: 'checkerboard, 2-100-100-2', seeds: [1, 2, 3, 4, 5], settings: checkerboard.settings, trained: checkerboard.trained },
  { name: 'MNIST, LeNet', seeds: [1, 2], settings: mnist.settings, trained: mnist.trained },
]

export interface AccumulatorRow {
  readonly task: 'accumulators'
  readonly case: string
  /** Width that every accumulator is proved to fit. */
  readonly bits: number
  /** Of the test samples, over the seeds. */
  readonly mean: number
  readonly min: number
  readonly seeds: number
  /** Most inputs that a neuron uses, layer by layer, in any of the networks. */
  readonly active: readonly number[]
  /** Everything else that was chosen, in words. */
  readonly setting: string
}

const words = (setting: object): string =>
  Object.entries(setting)
    .map(([name, value]) => `${name} ${value}`)
    .join('; ')
/** Everything that decides a result, so that a changed setting is not taken for an old one. */
const keyOf = ({ name }: Part, setting: object, seed: number): string => `${name}; ${words(setting)}; seed ${seed}`

/** Trains what is not in the file yet, until an interrupt; gives what the file then holds. */
async function collect(say: (line: string) => void): Promise<Record<string, Outcome>> {
  mkdirSync(workshop, { recursive: true })
  const file = join(workshop, 'accumulators.json')
  const found: Record<string, Outcome> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  let interrupted = false
  process.once('SIGINT', () => {
    interrupted = true
  })
  for (const part of parts)
    for (const seed of part.seeds)
      for (const setting of part.settings) {
        const key = keyOf(part, setting, seed)
        if (key in found || interrupted) continue
        const began = performance.now()
        found[key] = { ...(await part.trained(setting as never, seed)), seconds: (performance.now() - began) / 1000 }
        writeFileSync(`${file}.part`, JSON.stringify(found, null, 1))
        renameSync(`${file}.part`, file)
        say(`${key}: ${(100 * found[key].accuracy).toFixed(2)}%, ${found[key].seconds.toFixed(0)} s`)
      }
  return found
}

/** The study as rows for the report, of the seeds that are finished. */
export default async function study(say: (line: string) => void): Promise<AccumulatorRow[]> {
  const found = await collect(say)
  const rows = parts.flatMap((part) =>
    part.settings.flatMap((setting): AccumulatorRow[] => {
      const outcomes = part.seeds.map((seed) => found[keyOf(part, setting, seed)]).filter((outcome): outcome is Outcome => outcome !== undefined)
      if (outcomes.length === 0) return []
      const accuracies = outcomes.map(({ accuracy }) => accuracy)
      const { accumulatorBits, ...rest } = setting
      return [
        {
          task: 'accumulators',
          case: part.name,
          bits: accumulatorBits,
          mean: accuracies.reduce((sum, value) => sum + value, 0) / accuracies.length,
          min: Math.min(...accuracies),
          seeds: outcomes.length,
          active: outcomes[0].active.map((_, layer) => Math.max(...outcomes.map(({ active }) => active[layer]))),
          setting: words(rest),
        },
      ]
    }),
  )
  for (const { case: name, bits, mean, min, seeds } of rows)
    say(`${name.padEnd(28)}${`${bits} bits`.padStart(8)}  mean ${(100 * mean).toFixed(2)}%  least ${(100 * min).toFixed(2)}%  ${seeds} seeds`)
  return rows
}
