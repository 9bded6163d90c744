import { describe, ensure, realNumber, wholeNumber } from '../../native/index.js'
import { type Module, Sequential } from '../../nn/index.js'
import { hostValues, type Quantisation } from '../../tensor/index.js'
import { overwrite } from '../accumulators/channels.js'
import { QuantIdentity } from '../layers/quantIdentity.js'
import { QuantReLU } from '../layers/quantReLU.js'
import { bitsFor, type CodeOptions } from '../range.js'
import type { WeightQuantiserOptions } from '../weights.js'
import type { CodedLayer } from './approximate.js'
import { inTurn, type Target } from './axe.js'
import { correctBiases } from './biasCorrection.js'
import { batchesOf, type Calibration, watching } from './calibration.js'
import { equalisable, equalise } from './equalise.js'
import { foldablePairs, foldBatchNorm } from './foldBatchNorm.js'
import { Histogram } from './histogram.js'
import { isSequence, replaceModules, type WeightedLayer } from './modules.js'
import { type Observer, type ObserverName, observerOf } from './observers/index.js'
import { type Survey, type SurveyedLayer, survey } from './survey.js'
import { twinOf } from './twins.js'

/** Widths that a layer can have of its own. */
export interface LayerWidths {
  /** Bit width of its weights. */
  weightBits?: number
  /** Bit width of the codes that feed it. */
  activationBits?: number
  /** Width of its accumulator. */
  accumulatorBits?: number
}

export interface QuantiseOptions extends Omit<WeightQuantiserOptions, 'weightBits'>, LayerWidths {
  /** Samples like those the network will see: a few hundred. */
  data: Calibration
  /** Bit width of weights, 2 to 8. Default 8. */
  weightBits?: number
  /** Bit width of activations, 2 to 8. Default 8. */
  activationBits?: number
  /**
   * Width of every accumulator, 2 to 32 bits: weights are chosen by `quant.axe` then, and the result can be
   * certified. Default: whatever comes of the other widths.
   */
  accumulatorBits?: number
  /** Inputs summed in an accumulator of that width, their sums in a wider one. Default: all. */
  tile?: number
  /** Widths that differ, by the names of the layers in the float network. */
  layers?: Readonly<Record<string, LayerWidths>>
  /** How the ends of the activations' codes are found. Default 'mse'. */
  observer?: ObserverName | Observer
  /** How the largest code of the weights is found, where each weight is rounded by itself. Default 'mse'. */
  weightObserver?: ObserverName | Observer
  /** A scale for each output channel of a weight. Default true. */
  perChannel?: boolean
  /** 'nearest': each weight by itself. 'greedy': each makes up for those before it on the data, as in `quant.axe`. Default 'nearest'. */
  rounding?: 'nearest' | 'greedy'
  /** Bit width of integer biases, part of the accumulator. Default: float biases. */
  biasBits?: number
  /** Fold batch norms first, where one follows a layer in a `Sequential`. Default true. */
  fold?: boolean
  /** Equalise the channels of neighbouring layers first: `quant.equalise`. Default: where weights have one scale for all channels. */
  equalise?: boolean
  /** Move biases by what rounding does to the mean of each output. Layers without bias get one. Default true. */
  correctBias?: boolean
  /** Which layers become quantised ones, by their name in the float network. Default: all. */
  only?: (name: string, module: Module) => boolean
}

/**
 * A trained float network as one of quantised layers, without training: `Conv2d` and `Linear` become `QuantConv2d` and
 * `QuantLinear` with the same weights, a `ReLU` whose output nothing changes before it is multiplied becomes a
 * `QuantReLU`, and in front of every other layer a `QuantIdentity` is put (signed where negative values were seen).
 * Everything else stays as it is: pooling, dropout, other activations, and any `forward` of the model's own.
 *
 * In an `nn.Sequential` with numbered layers the new modules take numbers of their own; elsewhere a layer with a
 * quantiser in front is a `Sequential` of `input` and `layer` in the layer's place. Weights that no quantised layer
 * exists for (`ConvTranspose2d`, `Embedding`) are refused unless `only` says that they stay floats.
 *
 * @returns a new model in evaluation mode; `model` is unchanged
 * @throws EspalierError INVALID_ARGUMENT for no data, NaN among it, and widths outside their ranges
 * @example
 * ```ts
 * import { data, nn, quant } from 'espalier'
 * const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10))
 * // … trained …
 * const { train } = data.digits()
 * const quantised = quant.quantise(model, { data: train, weightBits: 4, activationBits: 4, accumulatorBits: 12 })
 * quant.certify(quantised).verify({ bits: 12 })
 * ```
 */
export function quantise(model: Module, options: QuantiseOptions): Module {
  const settings = settingsOf(options)
  const batches = batchesOf('quantise', options.data, model)
  const float = model.clone()
  if (options.fold !== false && foldablePairs(float).length > 0) foldBatchNorm(float)
  if ((options.equalise ?? !settings.perChannel) && equalisable(float)) equalise(float)
  const seen = survey(float, batches, settings.only)
  const names = new Set(seen.layers.map(({ name }) => name))
  for (const name of Object.keys(options.layers ?? {}))
    ensure(names.has(name), 'INVALID_ARGUMENT', () => `quantise: layers has ${name}, expected one of ${[...names].join(', ')}`)

  const { twin, targets } = built(float, seen, settings)
  if (settings.greedy)
    inTurn(twin, targets, float, batches, ({ name }) => ({ accumulatorBits: settings.widths(name).accumulatorBits, tile: options.tile, sweeps: 4 }))
  else if (settings.correctBias) correctBiases(twin, targets, float, batches)
  // Every layer knows what feeds it from now on.
  watching(twin, [], {}, batches.slice(0, 1))
  return twin.eval()
}

interface Settings extends Omit<QuantiseOptions, 'observer' | 'weightObserver' | 'only'> {
  readonly observer: Observer
  readonly weightObserver: Observer
  readonly perChannel: boolean
  readonly weightNarrow: boolean
  readonly correctBias: boolean
  /** Whether weights are chosen on the data, one after the other. */
  readonly greedy: boolean
  only(name: string, module: Module): boolean
  widths(name: string): LayerWidths & { weightBits: number; activationBits: number }
}

function settingsOf(options: QuantiseOptions): Settings {
  const { weightBits = 8, activationBits = 8, accumulatorBits, tile, layers = {}, rounding = 'nearest', biasBits } = options
  const widths: Settings['widths'] = (name) => ({ weightBits, activationBits, accumulatorBits, ...layers[name] })
  const all = [{ of: '', ...widths('') }, ...Object.keys(layers).map((name) => ({ of: ` of ${name}`, ...widths(name) }))]
  for (const one of all) {
    wholeNumber(`quantise: weightBits${one.of}`, one.weightBits, 2, 8)
    wholeNumber(`quantise: activationBits${one.of}`, one.activationBits, 1, 8)
    if (one.accumulatorBits !== undefined) wholeNumber(`quantise: accumulatorBits${one.of}`, one.accumulatorBits, 2, 32)
  }
  const accumulating = all.some((one) => one.accumulatorBits !== undefined)
  if (tile !== undefined) wholeNumber('quantise: tile', tile, 1)
  if (biasBits !== undefined) wholeNumber('quantise: biasBits', biasBits, 2, 32)
  ensure(tile === undefined || accumulating, 'INVALID_ARGUMENT', () => 'quantise: tile is given, but no accumulatorBits')
  ensure(
    rounding === 'nearest' || rounding === 'greedy',
    'INVALID_ARGUMENT',
    () => `quantise: rounding is ${describe(rounding)}, expected 'nearest' or 'greedy'`,
  )
  return {
    ...options,
    weightNarrow: options.weightNarrow ?? true,
    observer: observerOf('quantise: observer', options.observer ?? 'mse'),
    weightObserver: observerOf('quantise: weightObserver', options.weightObserver ?? 'mse'),
    perChannel: options.perChannel ?? true,
    correctBias: options.correctBias ?? true,
    greedy: accumulating || rounding === 'greedy',
    only: options.only ?? (() => true),
    widths,
  }
}

/** The quantised network with its thresholds, and what each of its layers is to compute. The float one stays as it is. */
function built(float: Module, { layers, activations }: Survey, settings: Settings): { twin: Module; targets: Target[] } {
  const base = float.clone()
  const modules = [...float.modules()]
  const copies = new Map(Array.from(base.modules(), (copy, i) => [modules[i], copy] as const))
  const replacements = new Map<Module, Module>()
  const wrapped = new Set<Module>()
  const { weightNarrow, perChannel, powerOfTwo, biasBits } = settings
  const targets = layers.map((one): Target => {
    const { weightBits } = settings.widths(one.name)
    const bias = one.layer.effectiveOrNull('bias') !== null || settings.correctBias
    const layer = twinOf(one.layer, { weightBits, weightNarrow, perChannel, powerOfTwo, biasBits, bias })
    if (!settings.greedy) clip(layer, settings)
    if (one.fedBy === null) {
      const pair = new Sequential({ input: inputQuantiser(one, settings), layer })
      wrapped.add(pair)
      replacements.set(copies.get(one.layer)!, pair)
    } else replacements.set(copies.get(one.layer)!, layer)
    return { name: one.name, layer, meant: one.layer as WeightedLayer }
  })
  for (const [relu, seen] of activations) {
    const fed = layers.filter(({ fedBy }) => fedBy === relu)
    if (fed.length === 0) continue
    // Layers that share their input share its width: the narrowest that one of them asks for.
    const bits = Math.min(...fed.map(({ name }) => settings.widths(name).activationBits))
    replacements.set(copies.get(relu)!, new QuantReLU(codesFor(seen, { bits, signed: false }, settings)))
  }
  const twin = inLine(replaceModules(base, replacements), wrapped)
  const [{ dtype, device }] = float.parameters()
  if (dtype === 'float64') twin.to(dtype)
  return { twin: twin.to(device), targets }
}

/** The quantiser in front of a layer. */
function inputQuantiser({ name, seen }: SurveyedLayer, settings: Settings): QuantIdentity {
  const { signed } = seen
  return new QuantIdentity({ signed, ...codesFor(seen, { bits: settings.widths(name).activationBits, signed }, settings) })
}

/** Codes that end where the observer says. */
function codesFor(seen: Histogram, codes: CodeOptions, { observer, powerOfTwo }: Settings): { bits: number; powerOfTwo?: boolean; threshold: number } {
  const threshold = realNumber(`quantise: the threshold of observer ${observer.name}`, observer.threshold(seen, codes), 0)
  // Where nothing but zeros passed, any codes will do.
  return { bits: codes.bits, powerOfTwo, threshold: threshold > 0 ? threshold : 1 }
}

/** Cuts weights where the observer says: the quantiser takes the largest that is left for the end of its codes. */
function clip(layer: CodedLayer, { weightObserver, perChannel, weightNarrow }: Settings): void {
  const weight = layer.effective('weight').quantisation as Quantisation
  const codes = { bits: bitsFor(0, weight.max), signed: true, narrow: weightNarrow }
  const latent = layer.latentWeight('weight')
  const values = Float64Array.from(hostValues(latent.storage))
  const run = perChannel ? values.length / (latent.shape[0] || 1) : values.length
  for (let start = 0; start < values.length; start += run) {
    const row = values.subarray(start, start + run)
    const seen = new Histogram()
    seen.add(row)
    const end = weightObserver.threshold(seen, codes)
    if (end > 0) row.set(row.map((value) => Math.min(end, Math.max(-end, value))))
  }
  overwrite(latent, values)
}

/** Sets quantisers and layers that were put into a numbered sequence as pairs in line with the rest of it. */
function inLine(model: Module, pairs: ReadonlySet<Module>): Module {
  const numbered = (module: Module): module is Sequential =>
    isSequence(module) && module.constructor === Sequential && !pairs.has(module) && [...module.namedChildren()].every(([name], i) => name === String(i))
  const found = [...model.modules()].find((module) => numbered(module) && [...module.children()].some((child) => pairs.has(child)))
  if (found === undefined) return model
  const steps = [...found.children()].flatMap((child) => (pairs.has(child) ? [...child.children()] : [child]))
  return inLine(replaceModules(model, new Map([[found, new Sequential(...steps)]])), pairs)
}
