import { appendFileSync, existsSync, readFileSync, truncateSync } from 'node:fs'
import { DataLoader, type Dataset } from '../data/index.js'
import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { crossEntropy } from '../ops/index.js'
import { Adam, OneCycleLR } from '../optim/index.js'
import type { BiasOptions } from '../quant/bias.js'
import * as quant from '../quant/index.js'
import { Generator } from '../tensor/index.js'
import { accuracy, evaluate, evaluating, fit, type Loss, type Metric } from '../train/index.js'
import { type AccumulatorMethod, accumulatorMethods, keep, keptLayer, leastWidth, rateOf } from './accumulators.js'
import { displayOf, type FrontierProgress, inWords } from './frontierProgress.js'
import { penalised } from './learn.js'

/** What distinguishes one run of a sweep from another. */
export interface FrontierSetting {
  method: AccumulatorMethod
  /** Bits that the accumulators are to keep. */
  accumulatorBits: number
  weightBits: number
  activationBits: number
  seed: number
}

/** One network of a sweep, trained, proved and measured. */
export interface FrontierPoint extends FrontierSetting {
  /** The metric on the test data. */
  accuracy: number
  /** The widest accumulator of all neurons, proved. */
  provedBits: number
  /** The most inputs that any neuron uses, and how many one uses on average. */
  activeInputs: number
  meanActiveInputs: number
  seconds: number
}

/** A setting in which no weight fits the accumulator, and the width that would do, in words. */
export interface FrontierRefusal extends FrontierSetting {
  refused: string
}

/** What a network of the sweep is to be built from. */
export interface FrontierParts extends FrontierSetting {
  /** Options of its quantised layers. */
  layer: quant.QuantisedWeightOptions & BiasOptions & { generator: Generator }
  /** Options of its activation quantisers. */
  activation: { bits: number; collectSteps: number }
  /** Where its random numbers come from. */
  generator: Generator
}

export interface FrontierOptions {
  /** Builds a network from quantised layers with these options. */
  network(parts: FrontierParts): Module
  /** Samples to learn from; a function of the run's generator where they are augmented. */
  train: Dataset | ((generator: Generator) => Dataset)
  test: Dataset
  /** Widths of accumulators to try. */
  accumulatorBits: readonly number[]
  /** Widths of codes to try: of weights and activations alike, or of each. */
  bits: readonly (number | readonly [weightBits: number, activationBits: number])[]
  /** Whether some layer of the network has signed inputs, which leave less room. Default false. */
  signedInputs?: boolean
  /** Default: all. */
  methods?: readonly AccumulatorMethod[]
  /** Default [1]. */
  seeds?: readonly number[]
  /** Passes over the training data. Default 40. */
  epochs?: number
  /** Samples a step. Default 64. */
  batchSize?: number
  /** The highest rate of a one-cycle schedule. Default: what suits the method, 0.01 or 0.02. */
  lr?: number
  /** Default cross-entropy. */
  loss?: Loss
  /** What is measured on the test data. Default accuracy. */
  metric?: Metric
  /**
   * A file that each finished run is written to, a line of JSON each; runs that it holds are not run again. It
   * belongs to one network and one set of data: give it another name with those.
   */
  file?: string
  /** A bar on the terminal (the default; nothing where stderr is none), nothing, or a function called after each run. */
  progress?: boolean | ((progress: FrontierProgress) => void)
  /** Ends the sweep within the run under way: the results so far are returned, and stand in the file. */
  signal?: AbortSignal
}

/**
 * Trains a network at every accumulator width, code width and method, and says what each gave: accuracy
 * against what is proved of its accumulators and against the inputs that its neurons use.
 *
 * Each run is Adam under a one-cycle schedule, the accumulators kept after every step; at its end the
 * network is frozen and certified. Runs are independent of one another and of their order: a sweep that
 * was interrupted goes on from its `file` and gives the same points.
 *
 * @returns a point a run, and a refusal for each setting in which no weight fits, in the order of the sweep
 * @example
 * ```ts
 * import { data, frontier, nn, qnn } from 'espalier'
 * const { train, test } = data.digits()
 * const points = await frontier({
 *   network: ({ layer, activation }) =>
 *     new nn.Sequential(new nn.Flatten(), new qnn.QuantIdentity({ ...activation, signed: false }), new qnn.QuantLinear(64, 10, layer)),
 *   train,
 *   test,
 *   accumulatorBits: [8],
 *   bits: [3],
 *   methods: ['budget', 'a2q+'],
 *   epochs: 3,
 * })
 * points.length // 2
 * ```
 */
export async function frontier(options: FrontierOptions): Promise<(FrontierPoint | FrontierRefusal)[]> {
  const sweep = completed(options)
  const settings = settingsOf(sweep)
  const known = resultsIn(sweep.file)
  const display = await displayOf(options.progress ?? true)
  const results: (FrontierPoint | FrontierRefusal)[] = []
  try {
    for (const setting of settings) {
      const key = keyOf(sweep, setting)
      const result = known.get(key) ?? (await run(sweep, setting))
      if (result === null) break
      if (sweep.file !== undefined && !known.has(key)) appendFileSync(sweep.file, `${JSON.stringify({ key, ...result })}\n`)
      results.push(result)
      display.update({ done: results.length, runs: settings.length, result, line: inWords(result) })
    }
  } finally {
    display.stop()
  }
  return results
}

/** The options with their defaults, checked. */
function completed(options: FrontierOptions) {
  const { methods = accumulatorMethods, seeds = [1], epochs = 40, batchSize = 64, lr, loss = crossEntropy, metric = accuracy } = options
  wholeNumber('frontier: epochs', epochs, 1)
  wholeNumber('frontier: batchSize', batchSize, 1)
  if (lr !== undefined) realNumber('frontier: lr', lr, 0)
  for (const method of methods)
    ensure(
      accumulatorMethods.includes(method),
      'INVALID_ARGUMENT',
      () => `frontier: a method is ${describe(method)}, expected ${accumulatorMethods.join(', ')}`,
    )
  for (const seed of seeds) wholeNumber('frontier: a seed', seed)
  const bits = options.bits.map((both) => (typeof both === 'number' ? ([both, both] as const) : both))
  for (const pair of bits) for (const width of pair) wholeNumber('frontier: bits', width, 2, 8)
  for (const width of options.accumulatorBits) wholeNumber('frontier: accumulatorBits', width, 2, 32)
  return { ...options, bits, methods, seeds, epochs, batchSize, loss, metric, rateOf: (method: AccumulatorMethod) => lr ?? rateOf(method) }
}

type Sweep = ReturnType<typeof completed>

/** Every combination; the seeds of one setting follow each other. */
const settingsOf = ({ accumulatorBits, bits, methods, seeds }: Sweep): FrontierSetting[] =>
  accumulatorBits.flatMap((width) =>
    bits.flatMap(([weightBits, activationBits]) =>
      methods.flatMap((method) => seeds.map((seed) => ({ method, accumulatorBits: width, weightBits, activationBits, seed }))),
    ),
  )

/** Everything that decides a run, but for the network and the data. */
const keyOf = ({ epochs, batchSize, rateOf }: Sweep, { method, accumulatorBits, weightBits, activationBits, seed }: FrontierSetting): string =>
  `${method} P${accumulatorBits} w${weightBits} a${activationBits} seed ${seed}, ${epochs} epochs of ${batchSize} at ${rateOf(method)}`

/** What the file holds, by key. A last line that was cut off in the middle is removed; any other must be whole. */
function resultsIn(file: string | undefined): Map<string, FrontierPoint | FrontierRefusal> {
  const found = new Map<string, FrontierPoint | FrontierRefusal>()
  if (file === undefined || !existsSync(file)) return found
  const bytes = readFileSync(file)
  const whole = bytes.lastIndexOf('\n') + 1
  for (const [i, line] of bytes.toString('utf8', 0, whole).split('\n').slice(0, -1).entries()) {
    const { key, ...result } = parsed(line, () => `frontier: line ${i + 1} of ${file} is no result of a sweep`)
    found.set(key, result)
  }
  if (whole < bytes.length) truncateSync(file, whole)
  return found
}

function parsed(line: string, message: () => string): { key: string } & (FrontierPoint | FrontierRefusal) {
  try {
    const value = JSON.parse(line)
    if (typeof value?.key === 'string' && (typeof value.accuracy === 'number' || typeof value.refused === 'string')) return value
  } catch (cause) {
    throw new EspalierError('FORMAT', message(), { cause })
  }
  throw new EspalierError('FORMAT', message())
}

/** One run from its beginning to its end, or null where the signal came before. */
async function run(sweep: Sweep, setting: FrontierSetting): Promise<FrontierPoint | FrontierRefusal | null> {
  const { epochs, batchSize, loss, metric, signal } = sweep
  const refused = refusalOf(sweep, setting)
  if (refused !== null) return { ...setting, refused }
  const began = performance.now()
  const generator = new Generator(setting.seed)
  const train = typeof sweep.train === 'function' ? sweep.train(generator) : sweep.train
  const lr = sweep.rateOf(setting.method)
  const steps = epochs * Math.ceil(train.length / batchSize)

  const widths = { accumulatorBits: setting.accumulatorBits, weightBits: setting.weightBits }
  const network = sweep.network({
    ...setting,
    layer: { ...keptLayer(setting.method, widths), generator },
    activation: { bits: setting.activationBits, collectSteps: Math.min(300, Math.ceil(steps / 4)) },
    generator,
  })
  // Layers know what feeds them once they have run.
  evaluating(network, () => network.forward(new DataLoader(train, { batchSize: 1 })[Symbol.iterator]().next().value[0]))
  const keeping = keep(setting.method, network, widths)
  const optimizer = new Adam(network.parameters(), { lr })
  const history = await fit(network, {
    train,
    epochs,
    batchSize,
    generator,
    optimizer,
    schedule: new OneCycleLR(optimizer, { maxLr: lr, totalSteps: steps, pctStart: 0.1, cycleMomentum: false }),
    loss: penalised(loss, keeping.penalty),
    callbacks: [{ onStepEnd: () => keeping.afterStep?.() }],
    progress: false,
    signal,
  })
  if (history.stopped) return null

  const certificate = quant.certify(quant.freeze(network))
  certificate.verify({ bits: setting.accumulatorBits })
  const { metric: measured } = await evaluate(network, sweep.test, { metrics: { metric } })
  const active = certificate.layers.flatMap(({ weights }) => weights.map((row) => Array.from(row).filter((weight) => weight !== 0).length))
  return {
    ...setting,
    accuracy: measured,
    provedBits: certificate.bits,
    activeInputs: Math.max(...active),
    meanActiveInputs: active.reduce((sum, count) => sum + count, 0) / active.length,
    seconds: (performance.now() - began) / 1000,
  }
}

/** Why a width is too narrow for any weight, or null. */
function refusalOf({ signedInputs = false }: Sweep, { method, accumulatorBits, weightBits, activationBits }: FrontierSetting): string | null {
  const inputs = [false, ...(signedInputs ? [true] : [])].map((signed) => quant.integerRange({ bits: activationBits, signed }))
  const least = leastWidth(method, { weightBits }, inputs)
  return accumulatorBits >= least ? null : `accumulatorBits is ${accumulatorBits}: no room for a weight, expected at least ${least}`
}
