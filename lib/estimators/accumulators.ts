import { noGrad } from '../autograd/index.js'
import { EspalierError, ensure } from '../native/index.js'
import { fanInMask, type Module } from '../nn/index.js'
import { add, exp2, mul, neg, reshape, sub } from '../ops/index.js'
import { type BiasOptions, biasRangeOf } from '../quant/bias.js'
import * as quant from '../quant/index.js'
import { codesOf } from '../quant/range.js'
import { assign, fill, type Tensor } from '../tensor/index.js'

// How a network's accumulators are kept within a width while it is trained: a table of methods, which
// the estimators and `frontier` choose from by name.

/** The widths that a quantised layer is made for. */
export interface AccumulatorWidths {
  /** Of the accumulator, its integer bias included, 2 to 32 bits; at 32 nothing is held back. */
  accumulatorBits: number
  /** Of a weight's code, 2 to 8 bits. */
  weightBits: number
  /** Weights that leave out one end of their range, where the method has a choice. Default true. */
  weightNarrow?: boolean
  /** Scales of weights that are powers of two, where the method has a choice. Default false. */
  powerOfTwo?: boolean
}

/** What a training has to do to keep its accumulators. */
export interface Keeping {
  /** Called after each step of the optimiser. */
  afterStep?(): void
  /** Added to the loss. */
  penalty?(): Tensor
}

/** A way of keeping a width. */
interface Method {
  /** The highest rate of a one-cycle schedule that suits it; found on a part of the digits held out of training. */
  rate: number
  /** The options of a layer that is kept. */
  layer(widths: AccumulatorWidths): quant.QuantisedWeightOptions
  /** Throws where not one unit of weight fits beside the bias, under inputs of this range. */
  room(widths: AccumulatorWidths, input: quant.IntegerRange, bias: quant.IntegerRange): void
  /** Where an untrained network, which has run once, starts from. */
  start?(network: Module): void
  /** What its training has to do. */
  keep(network: Module, widths: AccumulatorWidths): Keeping
}

/** A budget for each sign of a neuron's weights, to which they are projected after each step. */
const budget: Method = {
  rate: 0.02,
  layer: ({ accumulatorBits, weightBits }) => ({ accumulatorBits, weightBits, accumulator: 'budget' }),
  room({ accumulatorBits }, input, bias) {
    // Under signed inputs every weight counts at both ends, and the budgets are equal.
    const least = input.min < 0 ? [[1, -1]] : [[1], [-1]]
    const fits = (weights: number[]): boolean => [bias.min, bias.max].every((start) => quant.accumulatorBound(weights, input, start).bits <= accumulatorBits)
    ensure(least.some(fits), 'INVALID_ARGUMENT', () => `accumulatorBits is ${accumulatorBits}: no weight fits beside the bias`)
  },
  start: startInUnits,
  keep: (network) => ({ afterStep: () => quant.projectBudgets(network) }),
}

/** So few inputs a neuron that none of its weights can overflow: the strongest, drawn anew after each step. */
const fanIn: Method = {
  rate: 0.01,
  layer: ({ accumulatorBits, weightBits, weightNarrow = true, powerOfTwo = false }) => ({
    ...{ accumulatorBits, weightBits, weightNarrow, powerOfTwo },
    accumulator: 'fan-in',
  }),
  room: (widths, input, bias) => void safeFanIn(widths, input, bias),
  // (After every step: every 17th alone fell from 85% to 52%, digits at 8 bits with 3-bit codes.)
  keep: (network) => ({ afterStep: () => void quant.refreshFanIn(network) }),
}

const safeFanIn = ({ accumulatorBits, weightBits, weightNarrow = true }: AccumulatorWidths, input: quant.IntegerRange, bias: quant.IntegerRange): number =>
  quant.safeFanIn(accumulatorBits, { weight: quant.integerRange({ bits: weightBits, signed: true, narrow: weightNarrow }), input, bias })

/** A learned norm with a cap; `unit` is the least norm that leaves a code of 1. */
const norm = (accumulator: 'a2q' | 'a2q+', capOf: (options: quant.AccumulatorOptions) => number, unit: number): Method => ({
  rate: 0.01,
  layer: ({ accumulatorBits, weightBits }) => ({ accumulatorBits, weightBits, accumulator }),
  room({ accumulatorBits }, input, bias) {
    const { bits, signed } = codesOf(input)
    const cap = capOf({ accumulatorBits, inputBits: bits, inputSigned: signed, bias: -bias.min })
    ensure(cap >= unit, 'INVALID_ARGUMENT', () => `accumulatorBits is ${accumulatorBits}: the norm of a neuron's weights is at most ${cap}`)
  },
  start(network) {
    startSparse(network)
    startInUnits(network)
    quant.epInit(network)
  },
  keep: (network) => ({ penalty: () => quant.a2qPenalty(network).mul(1e-3) }),
})

/** The ways of keeping a width, none of which any weights or inputs can overflow. */
const methods = {
  budget,
  'fan-in': fanIn,
  a2q: norm('a2q', quant.a2qCap, 1),
  // Centred weights: one unit up wants one down.
  'a2q+': norm('a2q+', quant.a2qPlusCap, 2),
} satisfies Record<string, Method>

/**
 * How an accumulator's width is kept: `budget`, exact budgets for the positive and the negative weights of
 * a neuron; `fan-in`, a cap on its inputs; `a2q` and `a2q+`, a cap on the learned norm of its weights
 * (Colbert et al. 2023 and 2024). No weights and no inputs overflow any of them.
 */
export type AccumulatorMethod = keyof typeof methods

export const accumulatorMethods = Object.keys(methods) as readonly AccumulatorMethod[]

/** The layers of a network whose scales are learned. */
const learnedLayers = (network: Module): { layer: Module; quantiser: quant.BudgetQuantiser | quant.A2QQuantiser }[] =>
  [...network.modules()].flatMap((layer) => {
    const { weightQuantiser: quantiser } = layer as { weightQuantiser?: unknown }
    return quantiser instanceof quant.BudgetQuantiser || quantiser instanceof quant.A2QQuantiser ? [{ layer, quantiser }] : []
  })

/**
 * Leaves a neuron so many inputs, its strongest, that their codes are 1.5 on average under the cap. Codes are
 * rounded towards zero: of a norm spread over all inputs of a wide neuron nothing is left, and it learns
 * nothing. (TinyCNN on the digits, 8 bits, A2Q: 10% without, 81% with it.)
 */
function startSparse(network: Module): void {
  for (const { layer, quantiser } of learnedLayers(network)) {
    if (!(quantiser instanceof quant.A2QQuantiser)) continue
    const weight = layer.latentWeight('weight')
    const inputs = Math.max(1, Math.min(weight.size / weight.shape[0], Math.floor(quantiser.cap / 1.5)))
    assign(weight.storage, noGrad(() => mul(weight, fanInMask(weight, inputs))).storage)
    quantiser.initialise(weight)
    assign(quantiser.log2S.storage, noGrad(() => sub(quantiser.log2G, Math.log2(1.5 * inputs))).storage)
  }
}

/**
 * Brings layers with learned scales to a start at which a rate of 0.01 suits them: an optimiser like Adam
 * moves every weight by about its rate, and a code is worth 1/(4√largest), so that it takes some 25/√largest
 * steps to the next. (PyTorch's start would put the codes of a narrow layer within two steps of each other:
 * the digits in 10 epochs, 64 hidden neurons, 3-bit codes, 8-bit budgets: 89.5% instead of 94.2%.) Biases, for
 * which the register has little room, start from 0.
 */
function startInUnits(network: Module): void {
  for (const { layer, quantiser } of learnedLayers(network))
    noGrad(() => {
      const weight = layer.latentWeight('weight')
      const growth = add(neg(quantiser.log2S), Math.log2(1 / (4 * Math.sqrt(quantiser.range.max))))
      assign(weight.storage, mul(weight, reshape(exp2(growth), [-1, ...new Array<number>(weight.rank - 1).fill(1)])).storage)
      for (const exponent of quantiser instanceof quant.A2QQuantiser ? [quantiser.log2G, quantiser.log2S] : [quantiser.log2S])
        assign(exponent.storage, add(exponent, growth).storage)
      if (layer.effectiveOrNull('bias') !== null) fill(layer.latentWeight('bias').storage, 0)
    })
}

/** From here on nothing is held back. */
const unbounded = 32

// The bias may take a quarter of the register, and never needs more than 16 bits.
const biasBits = ({ accumulatorBits }: AccumulatorWidths): number => Math.min(16, Math.max(2, accumulatorBits - 2))
const biasOf = (widths: AccumulatorWidths): quant.IntegerRange => biasRangeOf({ biasBits: biasBits(widths) }) as quant.IntegerRange

export const rateOf = (method: AccumulatorMethod): number => methods[method].rate

/** The options of a layer whose accumulator is to keep these widths; its bias is an integer inside. */
export function keptLayer(method: AccumulatorMethod, widths: AccumulatorWidths): quant.QuantisedWeightOptions & BiasOptions {
  const { accumulatorBits, weightBits, weightNarrow, powerOfTwo } = widths
  const weights = accumulatorBits < unbounded ? methods[method].layer(widths) : { weightBits, weightNarrow, powerOfTwo }
  return { ...weights, biasBits: biasBits(widths) }
}

/** Begins the training of a network of such layers, which has run once; one that is not `trained` is brought to its start. */
export function keep(method: AccumulatorMethod, network: Module, widths: AccumulatorWidths, { trained = false } = {}): Keeping {
  if (widths.accumulatorBits >= unbounded) return {}
  const { start, keep }: Method = methods[method]
  if (!trained) start?.(network)
  return keep(network, widths)
}

/** The narrowest accumulator in which the method has room for a weight, under inputs of any of these ranges. */
export function leastWidth(method: AccumulatorMethod, widths: Omit<AccumulatorWidths, 'accumulatorBits'>, inputs: readonly quant.IntegerRange[]): number {
  for (let accumulatorBits = 2; accumulatorBits < unbounded; accumulatorBits++)
    if (inputs.every((input) => hasRoom(method, { ...widths, accumulatorBits }, input))) return accumulatorBits
  return unbounded
}

function hasRoom(method: AccumulatorMethod, widths: AccumulatorWidths, input: quant.IntegerRange): boolean {
  try {
    methods[method].room(widths, input, biasOf(widths))
    return true
  } catch (error) {
    if (error instanceof EspalierError) return false
    throw error
  }
}
