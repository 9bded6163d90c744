import { ensure, wholeNumber } from '../../native/index.js'
import {
  AdaptiveAvgPool2d,
  AvgPool1d,
  AvgPool2d,
  Dropout,
  Flatten,
  Identity,
  LeakyReLU,
  Linear,
  MaxPool1d,
  MaxPool2d,
  type Module,
  ReLU,
} from '../../nn/index.js'
import { hostValues } from '../../tensor/index.js'
import { overwrite } from '../accumulators/channels.js'
import { isWeighted, sequencesIn, unshared, type WeightedLayer } from './modules.js'

/** Modules f with f(s·x) = s·f(x) for s > 0, a channel at a time. */
const homogeneous = [ReLU, LeakyReLU, MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d, AdaptiveAvgPool2d, Dropout, Identity, Flatten] as const

/** Two layers between which the scale of a channel can be shifted. */
interface Joint {
  readonly first: WeightedLayer
  readonly second: WeightedLayer
  /** The channel of the first layer that an entry of the second's weight multiplies. */
  channelOf(entry: number): number
}

/**
 * Cross-layer equalisation, in place: where nothing but activations that pass a positive factor on (ReLU, leaky
 * ReLU, pooling) lies between two layers, each channel's weights are divided in the first and multiplied in the
 * second by s = √(r₁/r₂), the largest magnitudes of the channel in either. Both have the same range then, so that
 * one scale for a whole weight tensor wastes less of its codes; the network computes what it did, up to rounding.
 * Nagel et al. 2019, "Data-free quantization through weight equalization and bias correction". Fold batch norms first.
 *
 * @param options.passes times the chain of layers is gone through, since each layer has two neighbours. Default 20
 * @returns the model itself
 * @throws EspalierError INVALID_ARGUMENT for a model without two such layers in a `Sequential`; nothing is changed then
 * @example
 * ```ts
 * import { nn, quant, randn } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(8, 16), new nn.ReLU(), new nn.Linear(16, 4))
 * model.at(0)?.latentWeight('weight').data.fill(100, 0, 8) // a channel a hundred times as large
 * quant.equalise(model)
 * ```
 */
export function equalise<M extends Module>(model: M, { passes = 20 }: { passes?: number } = {}): M {
  wholeNumber('equalise: passes', passes, 1)
  const found = jointsOf(model)
  ensure(found.length > 0, 'INVALID_ARGUMENT', () => 'equalise: the model has no two layers with only ReLU or pooling between them')
  const layers = [...new Set(found.flatMap(({ first, second }) => [first, second]))]
  const values = new Map(layers.map((layer) => [layer, valuesOf(layer)]))
  for (let pass = 0; pass < passes; pass++) {
    let moved = 0
    for (const joint of found) moved = Math.max(moved, balance(joint, values))
    if (moved < 1e-3) break
  }
  for (const [layer, { weight, bias }] of values) {
    overwrite(layer.latentWeight('weight'), weight)
    if (bias !== undefined) overwrite(layer.latentWeight('bias'), bias)
  }
  return model
}

interface Values {
  readonly weight: Float64Array
  /** Entries that a mask lets through; the others have no part in a channel's range. */
  readonly open: ArrayLike<number>
  readonly bias: Float64Array | undefined
}

function valuesOf(layer: WeightedLayer): Values {
  const latent = (name: string): Float64Array => Float64Array.from(hostValues(layer.latentWeight(name).storage))
  return {
    weight: latent('weight'),
    open: hostValues(layer.effective('weight').storage),
    bias: layer.effectiveOrNull('bias') === null ? undefined : latent('bias'),
  }
}

/** Gives the channels between two layers the same range in both; tells how far the farthest was off, as |ln s|. */
function balance({ first, second, channelOf }: Joint, values: ReadonlyMap<WeightedLayer, Values>): number {
  const [from, to] = [values.get(first)!, values.get(second)!]
  const channels = first.latentWeight('weight').shape[0]
  const fanIn = from.weight.length / channels
  const row = (entry: number): number => Math.floor(entry / fanIn)
  const [leaving, entering] = [rangesOf(from, channels, row), rangesOf(to, channels, channelOf)]
  const factors = leaving.map((range, i) => (range > 0 && entering[i] > 0 ? Math.sqrt(range / entering[i]) : 1))
  for (const i of from.weight.keys()) from.weight[i] /= factors[row(i)]
  for (const i of from.bias?.keys() ?? []) from.bias![i] /= factors[i]
  for (const i of to.weight.keys()) to.weight[i] *= factors[channelOf(i)]
  return factors.reduce((most, factor) => Math.max(most, Math.abs(Math.log(factor))), 0)
}

/** The largest magnitude of a weight's open entries, for each channel. */
function rangesOf({ weight, open }: Values, channels: number, channelOf: (entry: number) => number): Float64Array {
  const ranges = new Float64Array(channels)
  for (const [i, value] of weight.entries()) if (open[i] !== 0) ranges[channelOf(i)] = Math.max(ranges[channelOf(i)], Math.abs(value))
  return ranges
}

/** Whether a model has layers to equalise. */
export const equalisable = (model: Module): boolean => jointsOf(model).length > 0

function jointsOf(model: Module): Joint[] {
  const within = unshared(model)
  const usable = (module: Module): module is WeightedLayer =>
    isWeighted(module) && within.has(module) && module.weightTransforms('weight').every(({ kind }) => kind === 'mask')
  return sequencesIn(model).flatMap((steps) =>
    steps.flatMap((first, i): Joint[] => {
      if (!usable(first)) return []
      const rest = steps.slice(i + 1)
      const between = rest.slice(
        0,
        rest.findIndex((step) => !homogeneous.some((kind) => step.constructor === kind)),
      )
      const second = rest[between.length]
      const channelOf = second !== undefined && usable(second) ? channelsBetween(first, second, between) : null
      return channelOf === null ? [] : [{ first, second: second as WeightedLayer, channelOf }]
    }),
  )
}

/** Which channel of `first` an entry of `second`'s weight multiplies; null where they do not meet channel by channel. */
function channelsBetween(first: WeightedLayer, second: WeightedLayer, between: readonly Module[]): ((entry: number) => number) | null {
  const channels = first.latentWeight('weight').shape[0]
  const [outputs, columns, ...kernel] = second.latentWeight('weight').shape
  const flattened = between.filter((module): module is Flatten => module instanceof Flatten)
  if (second instanceof Linear) {
    if (first instanceof Linear) return columns === channels ? (entry) => entry % columns : null
    const area = columns / channels
    const whole = flattened.length === 1 && flattened[0].startDim === 1 && flattened[0].endDim === -1
    return whole && Number.isInteger(area) ? (entry) => Math.floor((entry % columns) / area) : null
  }
  const { groups } = second.geometry
  if (first instanceof Linear || flattened.length > 0 || columns * groups !== channels) return null
  const taps = kernel.reduce((product, size) => product * size, 1)
  const rows = outputs / groups
  return (entry) => Math.floor(entry / (columns * taps * rows)) * columns + (Math.floor(entry / taps) % columns)
}
