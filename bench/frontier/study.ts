// Accuracy against accumulator bits and active inputs: TinyCNN on the UCI digits, every method that keeps an
// accumulator, beside the points that Concrete ML's documentation gives. Runs when it is named:
//
//   npm run bench -- frontier
//
// Finished runs are kept in build-bench/frontier.jsonl and not run again; frontier.csv and frontier.svg stand
// beside it, also after an interrupt. The grid is set by the environment, lists by commas: FRONTIER_ACCUMULATORS,
// FRONTIER_BITS (3, or 4/3 for weights and activations), FRONTIER_METHODS, FRONTIER_SEEDS, FRONTIER_EPOCHS;
// FRONTIER_GRID=full is widths 5 to 14, codes of 2 to 6 bits, five seeds and 150 epochs, for a night.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, View } from 'vega'
import { compile, type TopLevelSpec } from 'vega-lite'
import { data, type FrontierOptions, frontier, frontierChart, frontierCsv } from '../../lib/index.js'
import { workshop } from '../support/package.js'
import { tinyCnn } from './network.js'
import { references } from './references.js'

type Grid = Pick<FrontierOptions, 'accumulatorBits' | 'bits' | 'methods' | 'seeds' | 'epochs'>
const grids: Record<string, Grid> = {
  quick: { accumulatorBits: [5, 6, 7, 8, 10, 12], bits: [2, 3, 4], seeds: [1, 2], epochs: 40 },
  full: { accumulatorBits: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14], bits: [2, 3, 4, 5, 6], seeds: [1, 2, 3, 4, 5], epochs: 150 },
}

/** The grid that the environment asks for. What it says is checked by `frontier`. */
function gridOf(environment: NodeJS.ProcessEnv): Grid {
  const { FRONTIER_GRID = 'quick', FRONTIER_ACCUMULATORS, FRONTIER_BITS, FRONTIER_METHODS, FRONTIER_SEEDS, FRONTIER_EPOCHS } = environment
  const grid = grids[FRONTIER_GRID]
  if (grid === undefined) throw new Error(`FRONTIER_GRID is ${FRONTIER_GRID}, expected ${Object.keys(grids).join(' or ')}`)
  const pair = (text: string): number | [number, number] => (text.includes('/') ? (text.split('/').map(Number) as [number, number]) : Number(text))
  return {
    accumulatorBits: FRONTIER_ACCUMULATORS?.split(',').map(Number) ?? grid.accumulatorBits,
    bits: FRONTIER_BITS?.split(',').map(pair) ?? grid.bits,
    methods: (FRONTIER_METHODS?.split(',') as Grid['methods']) ?? grid.methods,
    seeds: FRONTIER_SEEDS?.split(',').map(Number) ?? grid.seeds,
    epochs: FRONTIER_EPOCHS === undefined ? grid.epochs : Number(FRONTIER_EPOCHS),
  }
}

const digits = data.digits()
const pixels = data.scale(1 / 16)

/** The points of the grid; of what is finished where an interrupt ended it. */
export default async function study(say: (line: string) => void): Promise<readonly object[]> {
  mkdirSync(workshop, { recursive: true })
  const grid = gridOf(process.env)
  const stop = new AbortController()
  const interrupt = (): void => stop.abort()
  process.once('SIGINT', interrupt)
  const results = await frontier({
    ...grid,
    network: tinyCnn,
    train: (generator) =>
      data.mapped(digits.train, data.compose(pixels, data.randomAffine({ rotate: 8, scale: 0.08, shift: 0.3, probability: 0.8, generator }))),
    test: data.mapped(digits.test, pixels),
    file: join(workshop, 'frontier.jsonl'),
    signal: stop.signal,
    // A bar on a terminal, else a line a run.
    progress: process.stderr.isTTY || (({ done, runs, line }) => say(`${done}/${runs} ${line}`)),
  })
  process.off('SIGINT', interrupt)
  if (stop.signal.aborted) say('interrupted: the next start goes on from here')

  const title = `TinyCNN on the UCI digits, test part: ${grid.epochs} epochs, mean of ${grid.seeds?.length} seeds`
  const [csv, svg] = ['csv', 'svg'].map((extension) => join(workshop, `frontier.${extension}`))
  writeFileSync(csv, frontierCsv(results))
  writeFileSync(svg, await drawn(frontierChart(results, { title, references, referenceName: 'Concrete ML (measured, not proved)' })))
  say(`${csv}\n${svg}`)
  return results.map((result) => ({ task: 'frontier', ...result }))
}

/** A Vega-Lite figure as SVG. */
const drawn = (specification: object): Promise<string> => new View(parse(compile(specification as TopLevelSpec).spec), { renderer: 'none' }).toSVG()
