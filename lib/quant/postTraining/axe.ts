import { ensure, wholeNumber } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { hostValues, type Quantisation, type Tensor } from '../../tensor/index.js'
import { type Certificate, certify } from '../accumulators/certificate.js'
import type { IntegerRange } from '../range.js'
import { type ApproximateOptions, type Approximation, approximate, type CodedLayer, gatherMoments, give } from './approximate.js'
import { batchesOf, type Calibration, watching } from './calibration.js'
import { isWeighted, type WeightedLayer } from './modules.js'

export interface AxeOptions {
  /** Samples that codes are chosen on, a few hundred: they go through the network once for each layer. */
  data: Calibration
  /** Width of the accumulators, two's complement, 2 to 32 bits; a function gives each layer, by its name, its own. */
  accumulatorBits: number | ((layer: string) => number)
  /**
   * Inputs that are summed in an accumulator of that width, ≥ 1; the sums of these tiles, and an integer bias, go
   * into a wider one. Default: all of a neuron's.
   */
  tile?: number
  /** Times that each code is chosen again, with all others as they are, after the first pass. Default 4. */
  sweeps?: number
}

/** What became of a layer. */
export interface AxeLayer {
  readonly name: string
  /** The widest accumulator of any neuron, or of a tile of one, as proved; bits. */
  readonly bits: number
  /** The widest whole sum, bits: the same without tiles. */
  readonly sumBits: number
  /** Squared distance of the layer's sums from what they were on the data, as a share of their own square. */
  readonly error: number
}

/**
 * Brings a trained, quantised network within accumulators of a width without training: in each layer in turn
 * weights become codes one after the other, each making up for the rounding of those before it on the data
 * (GPFQ), and none taking more of its accumulator than is left (AXE). Scales are chosen again along with them,
 * and a bias takes care of what is wrong on average. Masks stay. No input overflows afterwards: it is proved, not
 * measured. Colbert et al. 2024, "Accumulator-aware post-training quantization"; docs/post-training.md
 * says where this goes beyond it.
 *
 * @returns what became of each layer, and the certificate of the whole
 * @throws EspalierError INVALID_ARGUMENT where a width leaves no room beside a bias (the message says which
 *   would), STATE where a layer's input is not quantised; the model is unchanged then
 * @example
 * ```ts
 * import { nn, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 4, signed: false }),
 *   new qnn.QuantLinear(64, 32, { weightBits: 4 }),
 *   new qnn.QuantReLU({ bits: 4 }),
 *   new qnn.QuantLinear(32, 10, { weightBits: 4 }),
 * )
 * const x = rand([128, 64])
 * model.forward(x) // the scales are found
 * const { layers, certificate } = quant.axe(model, { data: x, accumulatorBits: 9 })
 * layers.map(({ error }) => error) // small shares
 * certificate.verify({ bits: 9 })
 * ```
 */
export function axe(model: Module, { data, accumulatorBits, tile, sweeps = 4 }: AxeOptions): { layers: AxeLayer[]; certificate: Certificate } {
  if (tile !== undefined) wholeNumber('axe: tile', tile, 1)
  wholeNumber('axe: sweeps', sweeps)
  const batches = batchesOf('axe', data, model)
  const work = model.clone()
  const targets = codedLayers(work)
  const bitsOf = (name: string): number =>
    wholeNumber('axe: accumulatorBits', typeof accumulatorBits === 'function' ? accumulatorBits(name) : accumulatorBits, 2, 32)
  for (const { name } of targets) bitsOf(name)
  const reference = model.clone()
  const found = inTurn(work, targets, reference, batches, ({ name }) => ({ accumulatorBits: bitsOf(name), tile, sweeps }))
  // The model itself is touched when nothing can fail any more.
  const own = new Map(model.namedModules())
  for (const { name, approximation, codes } of found) {
    const layer = own.get(name) as CodedLayer
    layer.inputQuantisation = (work.getModule(name) as CodedLayer).inputQuantisation
    give(layer, approximation, codes)
  }
  const certificate = certify(model)
  const layers = found.map(({ name, approximation: { bits, error } }) => ({
    name,
    bits,
    sumBits: certificate.layers.find((layer) => layer.name === name)?.bits ?? bits,
    error,
  }))
  return { layers, certificate }
}

/** A layer to be given codes, and the one whose sums it should have. */
export interface Target {
  readonly name: string
  readonly layer: CodedLayer
  readonly meant: WeightedLayer
}

/** The quantised layers of a model. */
function codedLayers(model: Module): Omit<Target, 'meant'>[] {
  const layers = [...model.namedModules()].flatMap(([name, layer]) => {
    if (!('inputQuantisation' in layer)) return []
    ensure(isWeighted(layer), 'INVALID_ARGUMENT', () => `axe: ${name} is a ${layer.constructor.name}, expected a Conv1d, Conv2d or Linear`)
    return [{ name, layer: layer as CodedLayer }]
  })
  ensure(layers.length > 0, 'INVALID_ARGUMENT', () => 'axe: the model has no quantised layer')
  return layers
}

interface Wish {
  accumulatorBits?: number
  tile?: number
  sweeps: number
}

/** Gives codes to layers in the order in which the model runs them, each seeing what those before it now give. */
export function inTurn(
  model: Module,
  targets: readonly Omit<Target, 'meant'>[] | readonly Target[],
  reference: Module,
  batches: readonly Tensor[],
  wishOf: (target: Omit<Target, 'meant'>) => Wish,
): { name: string; approximation: Approximation; codes: IntegerRange }[] {
  const byLayer = new Map(targets.map((target) => [target.layer as Module, target]))
  const order = new Set<Module>()
  watching(model, byLayer.keys(), { onInput: (layer) => void order.add(layer) }, batches.slice(0, 1))
  return [...order].map((module) => {
    const target = byLayer.get(module)!
    const { name, layer } = target
    const meant = 'meant' in target ? target.meant : (reference.getModule(name) as WeightedLayer)
    const moments = gatherMoments({ model, layer }, { model: reference, layer: meant }, batches, name)
    ensure(
      layer.inputQuantisation?.scale.size === 1,
      'STATE',
      () => `${name || layer.constructor.name}: its input is not quantised with one scale; put a QuantIdentity or QuantReLU in front`,
    )
    const { min, max, scale } = layer.effective('weight').quantisation as Quantisation
    const codes = { min, max }
    const options = { ...wishOf(target), codes, perChannel: scale.size > 1, scales: kindOf(scale) }
    const approximation = approximate(layer, meant, moments, options)
    give(layer, approximation, codes)
    return { name, approximation, codes }
  })
}

/** What scales that take the place of these may be. */
function kindOf(scale: Tensor): ApproximateOptions['scales'] {
  const values = Array.from(hostValues(scale.storage))
  if (values.every((value) => value === 1)) return 'one'
  return values.every((value) => Number.isInteger(Math.log2(value))) ? 'powers of two' : 'any'
}
