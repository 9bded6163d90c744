import { gradEnabled, noGrad } from '../autograd/index.js'
import { EspalierError, ensure } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { add, cast, div, fakeQuant, mul, reshape, round } from '../ops/index.js'
import { allocate, converted, formatShape, hostValues, type Quantisation, Tensor } from '../tensor/index.js'
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

/** A quantised layer's forward pass. */
export function accumulate(layer: AccumulatingLayer, x: Tensor, product: Product): Tensor {
  const input = x.quantisation
  if (input !== null) layer.inputQuantisation = { scale: (input.plain ?? input.scale.detach()).keep(), min: input.min, max: input.max }
  const weight = layer.effective('weight')
  if (observer !== null) return inCodes(layer, x, weight, product, 'float64', observer)
  // Evaluation sums codes too, where float32 holds every sum exactly: so that two classes with equal
  // sums have equal logits, and the bits are the same on every instruction set.
  if (input?.scale.size === 1 && !layer.training && !gradEnabled() && x.dtype === 'float32' && sumsBelow(2 ** 24, layer.biasRange, input, weight))
    return inCodes(layer, x, weight, product, 'float32')
  return product(x, weight, biasOf(layer, input, weight))
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

/** value / scale as integers: sums of their products are exact up to 2^53, in float32 up to 2^24. */
function codesOf(values: Tensor, scale: Tensor, dtype: 'float32' | 'float64' = 'float64'): Tensor {
  if (values.device !== 'cpu') return codesOnDevice(values, scale, dtype)
  const codes = allocate(dtype, values.size)
  const run = scale.size === 1 ? values.size : values.size / scale.size
  for (let i = 0; i < values.size; i++) codes[i] = Math.round(values.data[i] / scale.data[Math.floor(i / run)])
  return new Tensor(codes, values.shape, dtype)
}

/** The same on a GPU, where no code lies half-way between two integers for rounding to tell apart. */
const codesOnDevice = (values: Tensor, scale: Tensor, dtype: 'float32' | 'float64'): Tensor =>
  noGrad(() => round(div(cast(values, dtype), cast(scale.size === 1 ? reshape(scale, []) : perFirst(scale, values.rank), dtype))))

/** A scale per index of the first dimension, shaped to broadcast over a tensor of this rank. */
const perFirst = (scale: Tensor, rank: number): Tensor => reshape(scale, [scale.size, ...new Array<number>(rank - 1).fill(1)])

/** A forward pass on codes: integer sums in `dtype`, then scaled once. */
function inCodes(layer: AccumulatingLayer, x: Tensor, weight: Tensor, product: Product, dtype: 'float32' | 'float64', observe?: AccumulatorObserver): Tensor {
  const input = requireCodes(layer, x.quantisation)
  const { scale: weightScale } = weight.quantisation as Quantisation
  const bias = biasOf(layer, input, weight)
  const unit = mul(input.scale, perRow(weightScale))
  const codesOfBias = bias === null || layer.biasRange === null ? null : codesOf(bias, unit, dtype)
  const sums = product(codesOf(x, input.scale, dtype), codesOf(weight, weightScale, dtype), codesOfBias)
  observe?.(layer, hostValues(sums.storage) as Float64Array)

  const values = new Tensor(converted(sums.storage, 'float32', sums.device), sums.shape, 'float32')
  const channel = [-1, ...new Array<number>(sums.rank - 2).fill(1)]
  const scaled = mul(values, unit.size === 1 ? unit : reshape(unit, channel))
  return bias === null || layer.biasRange !== null ? scaled : add(scaled, reshape(bias, channel))
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
    const weight = layer.effective('weight')
    const { scale } = weight.quantisation as Quantisation
    ensure(input.scale.size === 1, 'SHAPE_MISMATCH', () => `${name}: its input has scales of shape ${formatShape(input.scale.shape)}, expected one`)
    const bias = layer.biasRange === null ? null : biasOf(layer, input, weight)
    layers.push({
      name,
      weights: Int32Array.from(hostValues(codesOf(weight, scale).storage)),
      rows: weight.shape[0],
      bias: bias && Int32Array.from(hostValues(codesOf(bias, mul(input.scale, perRow(scale))).storage)),
      input: { min: input.min, max: input.max },
    })
  }
  return layers
}
