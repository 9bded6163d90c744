// What the layers in whole numbers share: parameters in the units of the accumulator, how they start, how fast they learn.
import { noGrad } from '../autograd/index.js'
import { ensure, wholeNumber } from '../native/index.js'
import { init, type Module, type Parameter } from '../nn/index.js'
import { mean, std } from '../ops/index.js'
import { type Generator, hostValues, type Tensor } from '../tensor/index.js'
import { BudgetCodes } from './accumulators/budget.js'
import { overwrite } from './accumulators/channels.js'
import { guardTransform } from './accumulators/guard.js'
import { Rescale } from './layers/rescale.js'
import type { IntegerRange } from './range.js'

export interface IntegerOptions {
  /** Width of the accumulator, bias included, 2 to 32 bits. */
  accumulatorBits: number
  /** Bit width of a weight's code, 2 to 8: magnitudes up to 2^(bits−1) − 1. Default 4. */
  weightBits?: number
}

/** A layer whose weights and biases are in units of its accumulator. */
export interface IntegerUnits extends Module {
  readonly weightQuantiser: BudgetCodes
  readonly biasRange: IntegerRange
}

const isInteger = (module: Module): module is IntegerUnits => (module as Partial<IntegerUnits>).weightQuantiser instanceof BudgetCodes

/** Biases that leave the weights a quarter of the register at least, on either side. */
export function integerBiasRange({ accumulatorBits }: IntegerOptions): IntegerRange {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  const max = Math.floor(0.75 * (2 ** (accumulatorBits - 1) - 1))
  return { min: -max, max }
}

/** Puts the budget on a layer's weight; for the layer's field. */
export function integerWeight(layer: Module, { accumulatorBits, weightBits = 4 }: IntegerOptions): BudgetCodes {
  layer.addTransform('weight', guardTransform)
  return new BudgetCodes({ accumulatorBits, weightBits })
}

/** Weights that use most codes, and no bias. */
export function resetIntegers(layer: Module, generator?: Generator): void {
  const { weightQuantiser } = layer as Partial<IntegerUnits>
  // (Called by the constructor of nn's layer before there is a budget.)
  if (weightQuantiser === undefined) return
  init.normal(layer.latentWeight('weight'), 0, weightQuantiser.spread, { generator })
  if (layer.effectiveOrNull('bias') !== null) init.constant(layer.latentWeight('bias'), 0)
}

/** Mean and standard deviation of each channel of x [n, channels, …]. */
function statistics(x: Tensor): { means: Float64Array; deviations: Float64Array } {
  const dim = Array.from({ length: x.rank }, (_, i) => i).filter((i) => i !== 1)
  const of = (statistic: Tensor): Float64Array => Float64Array.from(hostValues(statistic.storage))
  // A channel whose sums are all the same says nothing of their size.
  return { means: of(mean(x, { dim })), deviations: of(std(x, { dim, correction: 0 })).map((deviation) => Math.max(deviation, 0.5)) }
}

/** The bias that brings a neuron's sums to 0.4 of their deviation above 0, as far as 0.4 of the register allow. */
function startBias(layer: IntegerUnits, sums: Tensor): void {
  const limit = 0.4 * (2 ** (layer.weightQuantiser.accumulatorBits - 1) - 1)
  const { means, deviations } = statistics(sums)
  overwrite(
    layer.latentWeight('bias'),
    means.map((average, i) => Math.min(limit, Math.max(-limit, 0.4 * deviations[i] - average))),
  )
}

/**
 * Where the integer layers of a model start from, found on some samples in one pass: biases that bring each
 * neuron's sums a little above 0, and multipliers that bring them to the range of the codes. Call it once, before
 * the training; weights are those that the model has.
 *
 * @param x a batch of some hundred samples
 */
export function startIntegers(model: Module, x: Tensor): void {
  const layers = [...model.modules()]
  ensure(layers.some(isInteger), 'INVALID_ARGUMENT', () => 'startIntegers: the model has no integer layer')
  const hooks = layers.flatMap((layer) => {
    if (layer instanceof Rescale) return [layer.registerForwardPreHook((_, [sums]) => void layer.start(statistics(sums).deviations))]
    if (!isInteger(layer) || layer.effectiveOrNull('bias') === null) return []
    const hook = layer.registerForwardHook((_, [input], sums) => {
      hook.remove()
      startBias(layer, sums)
      return layer.forward(input)
    })
    return [hook]
  })
  try {
    noGrad(() => model.forward(x))
  } finally {
    for (const hook of hooks) hook.remove()
  }
}

/**
 * The parameters of a model as groups for an optimiser, with rates that suit their units: integer weights
 * lr · √(largest code), integer biases lr · (2^(P−1) − 1) / 31, everything else lr.
 *
 * @example
 * ```ts
 * import { nn, optim, qnn, quant } from 'espalier'
 * const model = new nn.Sequential(new qnn.Codes({ max: 7 }), new qnn.IntegerLinear(64, 10, { accumulatorBits: 8 }), new qnn.Rescale(10))
 * const optimiser = new optim.Adam(quant.integerGroups(model, 0.03), { betas: [0.9, 0.99] })
 * ```
 */
export function integerGroups(model: Module, lr: number): { params: Parameter[]; lr: number }[] {
  const rates = new Map<Parameter, number>()
  for (const layer of model.modules()) {
    if (!isInteger(layer)) continue
    const { range, accumulatorBits } = layer.weightQuantiser
    rates.set(layer.latentWeight('weight'), lr * Math.sqrt(range.max))
    if (layer.effectiveOrNull('bias') !== null) rates.set(layer.latentWeight('bias'), (lr * (2 ** (accumulatorBits - 1) - 1)) / 31)
  }
  const groups = new Map<number, Parameter[]>()
  for (const parameter of model.parameters()) {
    const rate = rates.get(parameter) ?? lr
    groups.set(rate, [...(groups.get(rate) ?? []), parameter])
  }
  return Array.from(groups, ([rate, params]) => ({ params, lr: rate }))
}
