import { EspalierError, ensure, realNumber, wholeNumber } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { fakeQuant } from '../../ops/index.js'
import { full, type Quantisation, type Tensor } from '../../tensor/index.js'
import { codeOfThreshold, integerRange } from '../range.js'
import { approximationError } from './approximate.js'
import { batchesOf, type Calibration, watching } from './calibration.js'
import { foldablePairs, foldBatchNorm } from './foldBatchNorm.js'
import { hasPlace, roomIn } from './greedy.js'
import type { WeightedLayer } from './modules.js'
import { addMoments, type Moments, momentsOf } from './moments.js'
import { type Observer, type ObserverName, observerOf } from './observers/index.js'
import { type LayerWidths, quantise } from './quantise.js'
import { type SurveyedLayer, survey } from './survey.js'
import { twinOf } from './twins.js'

export interface SearchOptions {
  /** Samples like those the network will see: a few hundred. */
  data: Calibration
  /** Width of the accumulators, 2 to 32 bits; a function gives each layer, by its name, its own. */
  accumulatorBits: number | ((layer: string) => number)
  /** Widths of weights to choose among. Default 2, 3, 4, 5, 6. */
  weightBits?: readonly number[]
  /** Widths of activations to choose among, 1 for unsigned ones only. Default 2, 3, 4, 5, 6. */
  activationBits?: readonly number[]
  /**
   * How good a quantised network is, more being better: its accuracy on held-out data, say. The widths that come
   * nearest layer by layer are only where the search starts then. Default: they are what it ends with.
   */
  score?: (candidate: Module) => number | Promise<number>
  /** With `score`, how many of its best pairs of widths are tried for each layer. Default 4. */
  tries?: number
  /** As in `quant.quantise`. */
  tile?: number
  biasBits?: number
  observer?: ObserverName | Observer
  only?: (name: string, module: Module) => boolean
}

/** A pair of widths for a layer, and what it does to its sums. */
export interface WidthChoice {
  readonly weightBits: number
  readonly activationBits: number
  /** Squared distance of the layer's sums from those of floats, as a share of their own square; rounded inputs count. */
  readonly error: number
}

export interface WidthSearch {
  /** The widths chosen, as `quant.quantise` takes them; `accumulatorBits` among them. */
  readonly layers: Record<string, Required<LayerWidths>>
  /** All pairs for each layer, the best first. */
  readonly choices: Record<string, readonly WidthChoice[]>
  /** What `score` gave for the widths chosen; null without. */
  readonly score: number | null
}

/** Neurons of a layer that a pair of widths is judged by. */
const judges = 24
/** A pair is as good as the best if its error is larger by no more than this share: then fewer bits decide. */
const tolerance = 0.02

/**
 * Chooses, for each layer of a trained float network, the widths of its weights and of its inputs that make the most
 * of an accumulator. Wide inputs leave room for few units of weight, narrow ones are coarse themselves: the pair is
 * taken at which the sums come nearest to those of floats once the weights are fitted into the accumulator as
 * `quant.axe` does; of pairs about equally near, that of fewer bits. Layers fed by the same ReLU have the same
 * input width. With `score` the whole network decides: for each layer in turn its best few pairs are tried.
 * Nothing is drawn at random.
 *
 * @returns the widths by layer; `model` is unchanged
 * @throws EspalierError INVALID_ARGUMENT for no data, NaN among it, widths outside their ranges, or an accumulator
 *   in which no pair leaves room for a weight
 * @example
 * ```ts
 * import { nn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(16, 12), new nn.ReLU(), new nn.Linear(12, 4))
 * const x = rand([200, 16])
 * const { layers } = await quant.searchWidths(model, { data: x, accumulatorBits: 8 })
 * const quantised = quant.quantise(model, { data: x, layers })
 * quant.certify(quantised).verify({ bits: 8 })
 * ```
 */
export async function searchWidths(model: Module, options: SearchOptions): Promise<WidthSearch> {
  const { weightBits = [2, 3, 4, 5, 6], activationBits = [2, 3, 4, 5, 6], accumulatorBits, tries = 4, score, tile, biasBits, only = () => true } = options
  for (const [name, list, low] of [
    ['weightBits', weightBits, 2],
    ['activationBits', activationBits, 1],
  ] as const) {
    ensure(Array.isArray(list) && list.length > 0, 'INVALID_ARGUMENT', () => `searchWidths: ${name} has no width to choose`)
    for (const bits of list) wholeNumber(`searchWidths: ${name}`, bits, low, 8)
  }
  if (tile !== undefined) wholeNumber('searchWidths: tile', tile, 1)
  wholeNumber('searchWidths: tries', tries, 1)
  const observer = observerOf('searchWidths: observer', options.observer ?? 'mse')
  const batches = batchesOf('searchWidths', options.data, model)
  const float = model.clone()
  if (foldablePairs(float).length > 0) foldBatchNorm(float)
  const { layers } = survey(float, batches, only)
  const widthOf = (name: string): number =>
    wholeNumber('searchWidths: accumulatorBits', typeof accumulatorBits === 'function' ? accumulatorBits(name) : accumulatorBits, 2, 32)
  for (const { name } of layers) widthOf(name)

  const inputs = inputsOf(float, layers, batches)
  const choices: Record<string, WidthChoice[]> = {}
  for (const one of layers) {
    const usable = activationBits.filter((bits) => bits > 1 || !one.seen.signed)
    choices[one.name] = usable
      .flatMap((bits) => judged(one, inputs.get(one.layer)!, bits, weightBits, observer, { accumulatorBits: widthOf(one.name), tile, biasBits }))
      .sort((a, b) => a.error - b.error || total(a) - total(b) || a.weightBits - b.weightBits)
    if (!Number.isFinite(choices[one.name][0]?.error)) throw noRoom(one, usable, widthOf(one.name))
  }

  const chosen: Record<string, Required<LayerWidths>> = {}
  for (const group of sharing(layers))
    for (const [name, { weightBits: weight, activationBits: activation }] of together(group, choices))
      chosen[name] = { weightBits: weight, activationBits: activation, accumulatorBits: widthOf(name) }
  if (score === undefined) return { layers: chosen, choices, score: null }

  const scoreOf = async (candidate: Record<string, LayerWidths>): Promise<number> =>
    realNumber('searchWidths: the score', await score(quantise(model, { data: options.data, layers: candidate, observer, tile, biasBits, only })))
  let best = await scoreOf(chosen)
  for (const group of sharing(layers))
    for (const { name } of group)
      for (const { weightBits: weight, activationBits: activation } of choices[name].slice(0, tries)) {
        const candidate = { ...chosen, [name]: { ...chosen[name], weightBits: weight } }
        for (const other of group) candidate[other.name] = { ...candidate[other.name], activationBits: activation }
        if (group.every((other) => same(candidate[other.name], chosen[other.name]))) continue
        const reached = await scoreOf(candidate)
        if (reached > best) {
          best = reached
          Object.assign(chosen, candidate)
        }
      }
  return { layers: chosen, choices, score: best }
}

/** The error for a layer in whose accumulator no pair of widths leaves room for a weight. */
function noRoom({ name, seen }: SurveyedLayer, widths: readonly number[], accumulatorBits: number): EspalierError {
  const { signed } = seen
  if (widths.length === 0) return new EspalierError('INVALID_ARGUMENT', `searchWidths: the input of ${name} has both signs, activationBits expected from 2 on`)
  const fits = (width: number): boolean => widths.some((bits) => hasPlace(roomIn(width), integerRange({ bits, signed })))
  let enough = accumulatorBits
  while (!fits(enough)) enough++
  const expected = enough > accumulatorBits ? `at least ${enough}` : 'more, for its bias'
  return new EspalierError('INVALID_ARGUMENT', `searchWidths: accumulatorBits of ${name} is ${accumulatorBits}: no room for a weight, expected ${expected}`)
}

const total = ({ weightBits, activationBits }: WidthChoice): number => weightBits + activationBits
const same = (a: LayerWidths, b: LayerWidths): boolean => a.weightBits === b.weightBits && a.activationBits === b.activationBits

/** Layers that have their input in common, and the others one by one. */
function sharing(layers: readonly SurveyedLayer[]): SurveyedLayer[][] {
  const groups = new Map<Module, SurveyedLayer[]>()
  for (const one of layers) {
    const key = one.fedBy ?? one.layer
    groups.set(key, [...(groups.get(key) ?? []), one])
  }
  return [...groups.values()]
}

/** One width of their inputs for layers that share it, and the best width of each one's weights beside it. */
function together(group: readonly SurveyedLayer[], choices: Readonly<Record<string, readonly WidthChoice[]>>): [string, WidthChoice][] {
  const widths = [...new Set(choices[group[0].name].map(({ activationBits }) => activationBits))].sort((a, b) => a - b)
  const options = widths.flatMap((bits) => {
    const best = group.map(({ name }) => cheapest(choices[name].filter(({ activationBits }) => activationBits === bits)))
    return best.every((choice) => choice !== undefined) ? [{ best, error: best.reduce((sum, { error }) => sum + error, 0) }] : []
  })
  const least = Math.min(...options.map(({ error }) => error))
  const bits = ({ best }: (typeof options)[number]): number => best.reduce((sum, choice) => sum + total(choice), 0)
  const good = options.filter(({ error }) => error <= least * (1 + tolerance))
  const { best } = good.reduce((a, b) => (bits(b) < bits(a) ? b : a))
  return best.map((choice, i) => [group[i].name, choice])
}

/** Of the pairs about as good as the best the one of fewest bits. */
function cheapest(choices: readonly WidthChoice[]): WidthChoice {
  const least = Math.min(...choices.map(({ error }) => error))
  return choices.filter(({ error }) => error <= least * (1 + tolerance)).reduce((a, b) => (total(b) < total(a) ? b : a))
}

/** What goes into each layer. */
function inputsOf(model: Module, layers: readonly SurveyedLayer[], batches: readonly Tensor[]): Map<Module, Tensor[]> {
  const inputs = new Map<Module, Tensor[]>(layers.map(({ layer }) => [layer, []]))
  watching(model, inputs.keys(), { onInput: (layer, x) => void inputs.get(layer)!.push(x) }, batches)
  return inputs
}

/** What each width of weights comes to under inputs of a width. */
function judged(
  { layer, seen }: SurveyedLayer,
  inputs: readonly Tensor[],
  bits: number,
  weightBits: readonly number[],
  observer: Observer,
  { accumulatorBits, tile, biasBits }: { accumulatorBits: number; tile?: number; biasBits?: number },
): WidthChoice[] {
  const codes = { bits, signed: seen.signed }
  const range = integerRange(codes)
  const threshold = observer.threshold(seen, codes)
  const scale = full([], (threshold > 0 ? threshold : 1) / codeOfThreshold(codes), { dtype: inputs[0].dtype, device: inputs[0].device })
  const moments: Moments[] = momentsOf(layer as WeightedLayer)
  for (const x of inputs) addMoments(moments, layer as WeightedLayer, fakeQuant(x, scale, { ...range, gradient: 'clamped' }), x)
  return weightBits.map((width) => {
    const twin = twinOf(layer, { weightBits: width, perChannel: true, biasBits, bias: true })
    twin.inputQuantisation = { scale, ...range } satisfies Quantisation
    const weights = integerRange({ bits: width, signed: true, narrow: true })
    const options = { accumulatorBits, tile, codes: weights, perChannel: true, scales: 'any', sweeps: 0 } as const
    return { weightBits: width, activationBits: bits, error: approximationError(twin, layer as WeightedLayer, moments, options, judges) }
  })
}
