import { gradEnabled, traced, tracing } from '../autograd/index.js'
import { Binary, EspalierError, ensure, native, Unary } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { add, fakeQuant, mul, reshape } from '../ops/index.js'
import { besides, converted, type DType, empty, formatShape, hostValues, type Quantisation, recycle, Tensor } from '../tensor/index.js'
import type { IntegerRange } from './range.js'

// What the quantised layers share: how their sum is formed, in floats for training or in integers.

/** A layer whose sums have an accumulator: a product of quantised inputs and quantised weights. */
export interface AccumulatingLayer extends Module {
  /** Where the codes of the last input came from; null before the first forward pass. */
  inputQuantisation: Quantisation | null
  /** Codes an integer bias may take; null for a float bias, added after the accumulator. */
  readonly biasRange: IntegerRange | null
}

/** The linear part of a layer: convolution or matrix product, without bias. */
export type Product = (x: Tensor, weight: Tensor, bias: Tensor | null) => Tensor

/** Told of each layer's accumulators while an integer evaluation runs. */
export type AccumulatorObserver = (layer: Module, accumulators: Float64Array) => void

let observer: AccumulatorObserver | null = null

/**
 * Runs `body` with every quantised layer computing its sums in exact integers: codes of the inputs
 * times codes of the weights, plus the integer bias, none rounded, then scaled once. `observe` sees
 * each layer's accumulators.
 */
export function inIntegers<T>(body: () => T, observe: AccumulatorObserver = () => {}): T {
  const before = observer
  observer = observe
  try {
    return body()
  } finally {
    observer = before
  }
}

/** One forward pass of a quantised layer, as told to whoever records a network. */
export interface LayerCall {
  readonly layer: AccumulatingLayer
  readonly x: Tensor
  readonly input: Quantisation
  readonly product: Product
  readonly codes: LayerCodes
  readonly output: Tensor
}

let recorder: ((call: LayerCall) => void) | null = null

/** Runs `body` with `record` told of every quantised layer's forward pass, in place of the operations that make it up. */
export function recordingLayers<T>(record: (call: LayerCall) => void, body: () => T): T {
  const before = recorder
  recorder = record
  try {
    return body()
  } finally {
    recorder = before
  }
}

/** A quantised layer's forward pass. */
export function accumulate(layer: AccumulatingLayer, x: Tensor, product: Product): Tensor {
  // (What is no tensor the operation refuses.)
  if (!(x instanceof Tensor)) return product(x, layer.effective('weight'), null)
  const input = x.quantisation
  if (input !== null) layer.inputQuantisation = { ...input, scale: (input.plain ?? input.scale.detach()).keep() }
  if (recorder !== null) return recorded(layer, x, product, recorder)
  const weight = layer.effective('weight')
  if (observer !== null) {
    const observe = observer
    return inCodes(codesOf(layer, input, weight, 'float64'), x, product, (sums) => observe(layer, hostValues(sums.storage) as Float64Array))
  }
  // Evaluation sums codes too: so that two classes with equal sums have equal logits, and the bits are the
  // same on every instruction set. In float32 where that holds every sum exactly, else in float64.
  // (A traced one shows its operations on values: whoever reads them knows the codes by their marks.)
  if (!layer.training && input?.scale.size === 1 && !tracing() && !wantsGradient(layer, x, weight)) {
    const single = x.dtype === 'float32' && sumsBelow(2 ** 24, layer.biasRange, input, weight)
    if (single || x.device === 'cpu') return inCodes(codesOf(layer, input, weight, single ? 'float32' : 'float64'), x, product)
  }
  return product(x, weight, biasOf(layer, input, weight))
}

/** Whether a gradient has to pass through the layer: through codes there is none. */
const wantsGradient = (layer: Module, x: Tensor, weight: Tensor): boolean =>
  gradEnabled() && (x.requiresGrad || weight.requiresGrad || layer.effectiveOrNull('bias')?.requiresGrad === true)

/** The forward pass of evaluation, its operations kept from whoever traces them. */
function recorded(layer: AccumulatingLayer, x: Tensor, product: Product, record: (call: LayerCall) => void): Tensor {
  const call = traced(
    () => {},
    () => {
      const codes = codesOf(layer, x.quantisation, layer.effective('weight'), 'float64')
      return { layer, x, input: codes.input, product, codes, output: inCodes(codes, x, product) }
    },
  )
  record(call)
  return call.output
}

/** Whether no sum of the layer, partial ones included, can reach `limit`. */
function sumsBelow(limit: number, bias: IntegerRange | null, input: Quantisation, weight: Tensor): boolean {
  const { min, max } = weight.quantisation as Quantisation
  const fanIn = weight.shape[0] === 0 ? 0 : weight.size / weight.shape[0]
  return fanIn * Math.max(-input.min, input.max) * Math.max(-min, max) + (bias === null ? 0 : -bias.min) < limit
}

/** The bias as the forward pass adds it: as it is, or on the grid of the accumulator's units. */
function biasOf(layer: AccumulatingLayer, input: Quantisation | null, weight: Tensor): Tensor | null {
  const bias = layer.effectiveOrNull('bias')
  if (bias === null || layer.biasRange === null) return bias
  const scale = mul(requireCodes(layer, input).scale, perRow((weight.quantisation as Quantisation).scale))
  return fakeQuant(bias, scale, { ...layer.biasRange, gradient: 'clamped' })
}

/** A scale per output channel as a row: [out, 1, …] becomes [out]; one for all stays a scalar. */
const perRow = (scale: Tensor): Tensor => (scale.size === 1 ? reshape(scale, []) : reshape(scale, [scale.size]))

function requireCodes(layer: Module, input: Quantisation | null): Quantisation {
  if (input === null) throw new EspalierError('STATE', `${layer.constructor.name}: its input is not quantised; put a QuantIdentity or QuantReLU in front`)
  ensure(
    input.scale.size === 1,
    'SHAPE_MISMATCH',
    () =>
      `${layer.constructor.name}: its input has scales of shape ${formatShape(input.scale.shape)}, expected one: products of different scales have no common sum`,
  )
  return input
}

type SumDType = 'float32' | 'float64'

/** x itself, or its values converted. */
const inDType = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : new Tensor(converted(x.storage, dtype, x.device), x.shape, dtype))

/**
 * value / scale as whole numbers: sums of their products are exact up to 2^53, in float32 up to 2^24. `scale`
 * has one element, or one for each index of the first dimension. In float32 codes must lie below 2^22, so that no
 * quotient comes near the middle between two of them.
 */
export function wholeNumbers(values: Tensor, scale: Tensor, dtype: SumDType = 'float64'): Tensor {
  const [from, by] = [inDType(values, dtype), inDType(scale, dtype)]
  const codes = from === values ? besides(values, () => empty(values.shape, dtype)) : from
  native.binaryMiddle(Binary.div, 1, by.size, by.size === 0 ? 0 : from.size / by.size, from.storage, by.storage, codes.storage)
  native.unaryForward(Unary.round, 0, 0, codes.storage, codes.storage)
  return codes
}

/** What a layer's integers are, whole numbers in a float dtype, and what becomes of their sums. */
export interface LayerCodes {
  readonly input: Quantisation
  /** [out, …]. */
  readonly weights: Tensor
  /** [out]; null where the bias is added outside of the accumulator. */
  readonly bias: Tensor | null
  readonly dtype: SumDType
  /** What one unit of a sum is worth, of one element or one a channel; null where a float bias is added to that. */
  readonly unit: Tensor | null
  /** The layer's output from its sums ([n, out, …], a linear layer's […, out]): each times its unit, plus the float bias. */
  scaled(sums: Tensor): Tensor
}

function codesOf(layer: AccumulatingLayer, quantisation: Quantisation | null, weight: Tensor, dtype: SumDType): LayerCodes {
  const input = requireCodes(layer, quantisation)
  const { scale: weightScale } = weight.quantisation as Quantisation
  const bias = biasOf(layer, input, weight)
  const unit = mul(input.scale, perRow(weightScale))
  const outside = layer.biasRange === null ? bias : null
  return {
    input,
    weights: wholeNumbers(weight, weightScale, dtype),
    // (A bias may have codes of 32 bits.)
    bias: bias === null || outside !== null ? null : inDType(wholeNumbers(bias, unit), dtype),
    dtype,
    unit: outside === null ? unit : null,
    scaled(sums) {
      // Behind the channels stands what a convolution's weights have there; a linear layer's are the last.
      const channel = [-1, ...new Array<number>(weight.rank - 2).fill(1)]
      const scaled = mul(inDType(sums, weight.dtype), unit.size === 1 ? unit : reshape(unit, channel))
      return outside === null ? scaled : add(scaled, reshape(outside, channel))
    },
  }
}

/** A forward pass on codes: sums of integers, scaled once. */
function inCodes(codes: LayerCodes, x: Tensor, product: Product, observe?: (sums: Tensor) => void): Tensor {
  const whole = wholeNumbers(x, codes.input.scale, codes.dtype)
  const sums = product(whole, codes.weights, codes.bias)
  observe?.(sums)
  const output = codes.scaled(sums)
  // Nobody else holds these then; handing them back is up to a third of the time of a large batch.
  if (observe === undefined && !gradEnabled()) for (const storage of new Set([whole.storage, sums.storage])) recycle(storage)
  return output
}

/** A quantised layer as integers: all that its accumulators depend on. */
export interface IntegerLayer {
  readonly name: string
  /** Codes of the weights, row-major, and how many rows (neurons) they form. */
  readonly weights: Int32Array
  readonly rows: number
  /** Codes of the bias, or null where it is added outside the accumulator. */
  readonly bias: Int32Array | null
  readonly input: IntegerRange
  /** What keeps the input's codes in that range. */
  readonly inputFrom: string
}

/** Something made of integer layers: an integer program, or whatever else is compiled from a network. */
export interface IntegerSource {
  integerLayers(): readonly IntegerLayer[]
}

const isAccumulating = (module: Module): module is AccumulatingLayer => 'inputQuantisation' in module

/** The quantised layers of a model, in order, as integers. Each must have run once. */
export function integerLayers(model: Module): IntegerLayer[] {
  const layers: IntegerLayer[] = []
  for (const [name, layer] of model.namedModules()) {
    if (!isAccumulating(layer)) continue
    const input = layer.inputQuantisation
    ensure(
      input !== null,
      'STATE',
      () => `${name || layer.constructor.name}: its input range is not known yet; run the model once, with a quantiser in front of this layer`,
    )
    layers.push(integerLayer(name, model, codesOf(layer, input, layer.effective('weight'), 'float64')))
  }
  return layers
}

/** A layer of a model as integers. */
export function integerLayer(name: string, model: Module, { input, weights, bias }: LayerCodes): IntegerLayer {
  return {
    name,
    weights: Int32Array.from(hostValues(weights.storage)),
    rows: weights.shape[0],
    bias: bias && Int32Array.from(hostValues(bias.storage)),
    input: { min: input.min, max: input.max },
    inputFrom: clampOf(model, input),
  }
}

/** In words: the quantiser whose clamp guarantees the range of some codes. */
function clampOf(model: Module, { quantiser }: Quantisation): string {
  for (const [name, module] of model.namedModules()) if (module === quantiser) return `clamp of ${name.replace(/\.?quantiser$/, '') || 'the model'}`
  return quantiser === undefined ? 'clamp of the quantiser in front' : `clamp of a ${quantiser.constructor.name} outside of the model`
}
