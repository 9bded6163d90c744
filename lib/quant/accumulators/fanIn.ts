import { noGrad } from '../../autograd/index.js'
import { ensure, wholeNumber } from '../../native/index.js'
import { fanInMask, type MaskGradient, type Module, maskOf, setMasks, stages, type WeightTransform } from '../../nn/index.js'
import { add, mul, sub } from '../../ops/index.js'
import { hostValues, ones, type Quantisation, type Tensor } from '../../tensor/index.js'
import type { Quantiser } from '../quantiser.js'
import type { IntegerRange } from '../range.js'
import { WeightQuantiser, type WeightQuantiserOptions } from '../weights.js'
import { safeFanIn } from './layerCap.js'

// Neurons limited to so many inputs. A neuron's strongest stay, under the layer's mask; which those are is
// asked again when `refreshFanIn` is called. Under an accumulator's width the limit is the largest that no
// codes of the weights and the inputs can overflow: the bound of the worst neuron, not of this one.

/** What limits the inputs of a neuron. */
export interface FanInOptions {
  /** The most inputs a neuron may use. */
  fanIn?: number
  /** A register that the worst neuron must fit, with the codes of its weights and of an integer bias. */
  accumulator?: { readonly bits: number; readonly weight: IntegerRange; readonly bias: IntegerRange | null }
}

/**
 * Masked weights take no part, but go on learning, so that one of them may return when the mask is drawn
 * anew: their gradient is that of the weight itself.
 */
const straightThrough: MaskGradient = (weight, mask) => add(weight, noGrad(() => sub(mul(weight, mask), weight)).detach())

/** Inputs of a neuron. */
const inputsOf = ({ shape, size }: Tensor): number => (shape[0] === 0 ? 0 : size / shape[0])

/** Whether some row of a weight has more than `limit` entries that are not 0. */
function exceeds(weight: Tensor, limit: number): boolean {
  const inputs = inputsOf(weight)
  if (inputs <= limit) return false
  const values = hostValues(weight.storage)
  for (let start = 0; start < values.length; start += inputs) {
    let active = 0
    for (let i = start; i < start + inputs; i++) if (values[i] !== 0) active++
    if (active > limit) return true
  }
  return false
}

/**
 * The limit on a weight's way, between its mask and its quantiser. The mask does the work; what reaches
 * this point with more inputs than the limit (a mask that was drawn for wider accumulators, loaded, or
 * taken off) gets a new one there and then, so that nothing beyond the limit is ever used.
 */
export class FanInLimit implements WeightTransform {
  readonly kind = 'fan-in'
  readonly stage = stages.quantiser

  constructor(readonly options: FanInOptions) {
    const { fanIn, accumulator } = options
    if (fanIn !== undefined) wholeNumber('fanIn', fanIn, 1)
    // The narrowest inputs leave room for the most: what is refused here no input could make right.
    if (accumulator !== undefined) safeInputs(accumulator, { min: 0, max: 1 })
  }

  /** The most inputs that a neuron of this layer may use. */
  limit(layer: Module): number {
    const { fanIn = Number.POSITIVE_INFINITY, accumulator } = this.options
    if (accumulator === undefined) return fanIn
    const { inputQuantisation } = layer as { inputQuantisation?: Quantisation | null }
    ensure(!!inputQuantisation, 'STATE', () => 'accumulatorBits wants a quantised input; put a QuantIdentity or QuantReLU in front and run the model once')
    return Math.min(fanIn, safeInputs(accumulator, inputQuantisation))
  }

  apply(weight: Tensor, layer: Module): Tensor {
    const limit = this.limit(layer)
    if (!exceeds(weight, limit)) return weight
    const mask = fanInMask(weight, limit)
    setMasks([{ module: layer, name: 'weight', mask, gradient: straightThrough }])
    return straightThrough(weight, mask)
  }
}

const safeInputs = ({ bits, weight, bias }: NonNullable<FanInOptions['accumulator']>, { min, max }: IntegerRange): number =>
  safeFanIn(bits, { weight, input: { min, max }, bias: bias ?? undefined })

/** Puts a limit on a layer's weight, and the mask that keeps it: of all inputs, until the limit is known. */
export function limitFanIn(layer: Module, options: FanInOptions): void {
  const limit = new FanInLimit(options)
  const weight = layer.latentWeight('weight')
  const mask = options.fanIn === undefined ? ones(weight.shape, { dtype: weight.dtype, device: weight.device }) : fanInMask(weight, options.fanIn)
  setMasks([{ module: layer, name: 'weight', mask, gradient: straightThrough }])
  layer.addTransform('weight', limit)
}

/** Keeps a layer within its accumulator by the number of inputs alone: its weights may take every code. */
export function keepFanIn(
  layer: Module,
  { accumulatorBits, fanIn, bias, ...options }: WeightQuantiserOptions & { accumulatorBits: number; fanIn?: number; bias: IntegerRange | null },
): Quantiser | null {
  const quantiser = new WeightQuantiser(options, layer.latentWeight('weight'))
  limitFanIn(layer, { fanIn, accumulator: { bits: accumulatorBits, weight: quantiser.range, bias } })
  layer.addTransform('weight', quantiser)
  return quantiser.state
}

const limitOf = (layer: Module): FanInLimit | undefined =>
  'weight' in layer && layer.latentName('weight') in layer
    ? layer.weightTransforms('weight').find((transform): transform is FanInLimit => transform instanceof FanInLimit)
    : undefined

/**
 * Draws the masks of every layer with a limited fan-in anew, from its latent weights as they now are: a
 * neuron uses the strongest of all its inputs, those that were masked among them. Under `accumulatorBits`
 * the model must have run once.
 *
 * @returns how many inputs came back in
 * @throws EspalierError INVALID_ARGUMENT for a model without such a layer; nothing is drawn then
 * @example
 * ```ts
 * import { nn, optim, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 3, signed: false }),
 *   new qnn.QuantLinear(64, 10, { weightBits: 3, accumulatorBits: 8, accumulator: 'fan-in' }),
 * )
 * const optimiser = new optim.Adam(model.parameters(), { lr: 0.03 })
 * for (let step = 0; step < 6; step++) {
 *   optimiser.zeroGrad()
 *   model.forward(rand([16, 64])).square().mean().backward()
 *   optimiser.step()
 *   if (step % 2 === 1) quant.refreshFanIn(model)
 * }
 * quant.certify(model.eval()).verify({ bits: 8 })
 * ```
 */
export function refreshFanIn(model: Module): number {
  const layers = [...model.modules()].flatMap((layer) => {
    const limit = limitOf(layer)
    return limit === undefined ? [] : [{ layer, limit: limit.limit(layer) }]
  })
  ensure(layers.length > 0, 'INVALID_ARGUMENT', () => 'refreshFanIn: the model has no layer with a limited fan-in')
  const drawn = layers.map(({ layer, limit }) => ({
    module: layer,
    name: 'weight',
    mask: fanInMask(layer.latentWeight('weight'), limit),
    gradient: straightThrough,
  }))
  let returned = 0
  for (const { module, mask } of drawn) {
    const before = maskOf(module, 'weight')
    if (before === null) continue
    const old = hostValues(before.storage)
    for (const [i, open] of hostValues(mask.storage).entries()) if (open !== 0 && old[i] === 0) returned++
  }
  setMasks(drawn, { handOver: true })
  return returned
}

export interface RefreshOptions {
  /** Refresh after every so many. Default 1. */
  every?: number
  /** Of what: epochs, or steps. Default 'epoch'. */
  of?: 'epoch' | 'step'
  /** The last one (from 1) after which a mask is drawn, so that training ends on masks that stand still. Default: none. */
  until?: number
}

/** What a training says of itself, as `fit` does to its callbacks. */
interface Training {
  readonly model: Module
  /** From 0. */
  readonly epoch: number
  /** Steps taken in all. */
  readonly totalSteps: number
}

/**
 * `refreshFanIn` as a callback of `fit`, on a schedule.
 *
 * @example
 * ```ts
 * import { data, fit, nn, ops, optim, qnn, quant } from 'espalier'
 * const model = new nn.Sequential(
 *   new nn.Flatten(),
 *   new qnn.QuantIdentity({ bits: 3, signed: false }),
 *   new qnn.QuantLinear(64, 10, { weightBits: 3, accumulatorBits: 9, accumulator: 'fan-in' }),
 * )
 * await fit(model, {
 *   train: data.digits().train,
 *   epochs: 4,
 *   optimizer: new optim.Adam(model.parameters(), { lr: 0.01 }),
 *   loss: ops.crossEntropy,
 *   callbacks: [quant.refreshingFanIn({ every: 1, until: 3 })],
 * })
 * quant.certify(quant.freeze(model)).verify({ bits: 9 })
 * ```
 */
export function refreshingFanIn({ every = 1, of = 'epoch', until = Number.MAX_SAFE_INTEGER }: RefreshOptions = {}): {
  onStepEnd(training: Training): void
  onEpochEnd(training: Training): void
} {
  wholeNumber('refreshingFanIn: every', every, 1)
  wholeNumber('refreshingFanIn: until', until)
  ensure(of === 'epoch' || of === 'step', 'INVALID_ARGUMENT', () => `refreshingFanIn: of is ${String(of)}, expected 'epoch' or 'step'`)
  const after = (model: Module, count: number): void => {
    if (count % every === 0 && count <= until) refreshFanIn(model)
  }
  return {
    onStepEnd({ model, totalSteps }) {
      if (of === 'step') after(model, totalSteps)
    },
    onEpochEnd({ model, epoch }) {
      if (of === 'epoch') after(model, epoch + 1)
    },
  }
}
