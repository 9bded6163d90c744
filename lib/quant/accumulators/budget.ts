import { defineOp, noGrad } from '../../autograd/index.js'
import { native } from '../../native/index.js'
import { type Module, maskOf, Parameter } from '../../nn/index.js'
import { clamp, div, exp2, fakeQuant, log, maximum, mean, mul, round, sqrt, square, sum } from '../../ops/index.js'
import { assign, converted, empty, full, hostValues, type Quantisation, Tensor } from '../../tensor/index.js'
import { type IntegerRange, integerRange } from '../range.js'
import { perRow, smallest, within } from './channels.js'
import { Guard, guardOf } from './guard.js'
import { requireRoom } from './signBudgets.js'

// Weights kept within a budget for each sign, which is all that an accumulator under unsigned inputs
// asks for: at equal width it affords more than a cap on the norm. Codes are the nearest that the
// budgets allow, and latent weights are brought back to the budgets after each step.

export interface BudgetOptions {
  /** Width of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
}

/** What a layer's weights must fit, a row a neuron. */
interface Held {
  accumulatorBits: number
  input: IntegerRange
  /** Largest magnitude of a code. */
  largest: number
  /** The integers that the sums start from, [out]; null for 0. */
  bias: Tensor | null
}

// What the kernels are told before the result, and behind it. A GPU's arrays come to the CPU for them: rows are short, and few.
const rowsOf = ({ shape, size }: Tensor, { largest, bias }: Held) =>
  [bias && hostValues(bias.storage), shape[0], shape[0] === 0 ? 0 : size / shape[0], largest] as const
const accumulatorOf = ({ accumulatorBits, input }: Held) => [accumulatorBits, input.min, input.max] as const

/** The codes of weights in units of a code, [out, …]: see `budgetCodes`. The gradient passes straight through. */
const roundToBudget = defineOp({
  name: 'round_to_budget',
  forward(v: Tensor, held: Held) {
    const codes = empty(v.shape, v.dtype, 'cpu')
    native.budgetCodes(hostValues(v.storage), null, ...rowsOf(v, held), codes.storage, ...accumulatorOf(held))
    return v.device === 'cpu' ? codes : new Tensor(converted(codes.storage, v.dtype, v.device), v.shape, v.dtype)
  },
  backward: (grad) => [grad],
  // Rounding has no useful derivative: see test/quant/budget.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) =>
    Array.from({ length: 20 }, (_, i): [Tensor, Held] => [sample([1 + (i % 3), i]), { accumulatorBits: 4, input: { min: 0, max: 1 }, largest: 3, bias: null }]),
})

/** A layer as a budget looks at it. */
type BudgetedLayer = Module & { inputQuantisation?: Quantisation | null; biasRange?: IntegerRange | null }

/** Brings a bias that is in units of the accumulator back to its range: outside it would learn nothing. */
function keepBias(layer: BudgetedLayer): void {
  if (layer.effectiveOrNull('bias') === null || !layer.biasRange) return
  const bias = layer.latentWeight('bias')
  noGrad(() => assign(bias.storage, clamp(bias, layer.biasRange?.min, layer.biasRange?.max).storage))
}

/** A weight quantiser with a budget for each sign. Latent weights, and those it gives, are in units of a code. */
export class BudgetCodes extends Guard {
  readonly range: IntegerRange
  readonly accumulatorBits: number
  /** What a code is worth: [1]. */
  declare one: Tensor
  /** The integers that each neuron's sum starts from, [out]; null where it starts from 0. */
  private bias: Tensor | null = null

  constructor({ accumulatorBits, weightBits = 8 }: BudgetOptions) {
    super()
    this.range = integerRange({ bits: weightBits, signed: true, narrow: true })
    this.accumulatorBits = accumulatorBits
    // What is refused here no input could make right.
    requireRoom({ accumulatorBits, input: { min: 0, max: 1 } })
    this.registerBuffer('one', full([1], 1), { persistent: false })
  }

  /** The standard deviation of weights to start from: most codes are in use then. */
  get spread(): number {
    return this.range.max === 1 ? 0.7 : this.range.max / 2.2
  }

  override look(layer: Module): void {
    super.look(layer)
    this.bias = noGrad(() => this.biasOf(layer as BudgetedLayer))
  }

  /** The integer bias of a layer as its accumulator has it. */
  private biasOf(layer: BudgetedLayer): Tensor | null {
    const bias = layer.effectiveOrNull('bias')
    const { biasRange = null, inputQuantisation: input = null } = layer
    if (bias === null || biasRange === null || input === null) return null
    const { scale } = this
    if (scale === null) return fakeQuant(bias, this.one, { ...biasRange, gradient: 'clamped' })
    const unit = mul(input.scale, scale)
    return round(div(fakeQuant(bias, unit, { ...biasRange, gradient: 'clamped' }), unit))
  }

  /** What a code is worth, [out]; null for 1. */
  protected get scale(): Tensor | null {
    return null
  }

  protected get held(): Held {
    const { accumulatorBits, knownInput: input, range, bias } = this
    requireRoom({ accumulatorBits, input })
    return { accumulatorBits, input, largest: range.max, bias }
  }

  override forward(weight: Tensor): Tensor {
    const codes = roundToBudget(weight, this.held)
    codes.quantisation = { scale: this.one, ...this.range } satisfies Quantisation
    return codes
  }

  /**
   * Brings a layer's latent weights back to the budgets, in place: see `projectSigns`. Those under a mask
   * that is 0 use none of them, and stay as they are. A bias in units of the accumulator is kept in its range.
   */
  project(layer: Module): void {
    if (this.scale === null) keepBias(layer)
    this.look(layer)
    const weight = layer.latentWeight('weight')
    const mask = maskOf(layer, 'weight')
    const scale = noGrad(() => this.scale)
    const { held } = this
    const latent = hostValues(weight.storage)
    const [scales, open] = [scale && hostValues(scale.storage), mask && hostValues(mask.storage)]
    native.budgetProject(latent, scales, open, ...rowsOf(weight, held), latent, ...accumulatorOf(held))
    if (weight.device !== 'cpu') assign(weight.storage, latent)
  }
}

/** The same for weights of any size: a scale is learned for each channel, as log₂. */
export class BudgetQuantiser extends BudgetCodes {
  /** log₂ of each channel's scale: [out]. */
  log2S: Parameter

  /** @param weight [out, …]: what the scales start from */
  constructor(weight: Tensor, options: BudgetOptions) {
    super(options)
    this.log2S = new Parameter(empty([weight.shape[0]]))
    this.initialise(weight)
  }

  /**
   * Starts from a weight: its channels' root mean squares become 0.7 of a code, or 1/2.2 of the largest.
   * Entries under a `mask` that is 0 are left out.
   */
  initialise(weight: Tensor, mask: Tensor | null = null): void {
    noGrad(() => {
      const power = mask === null ? mean(square(weight), within(weight)) : div(sum(square(mul(weight, mask)), within(weight)), sum(mask, within(mask)))
      assign(this.log2S.storage, div(log(div(maximum(sqrt(power), smallest), this.spread)), Math.LN2).storage)
    })
  }

  protected override get scale(): Tensor {
    return exp2(this.log2S)
  }

  override forward(weight: Tensor): Tensor {
    const scale = perRow(this.scale, weight)
    // The scale learns from the codes alone: where a weight lies between two of them tells it nothing.
    const quantised = mul(roundToBudget(div(weight, scale.detach()), this.held), scale)
    quantised.quantisation = { scale, ...this.range } satisfies Quantisation
    return quantised
  }
}

/**
 * Brings the latent weights of every budgeted layer of a model back to their budgets: call it after
 * each step of the optimiser. The model must have run once.
 *
 * @example
 * ```ts
 * import { nn, optim, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 3, signed: false }),
 *   new qnn.QuantLinear(64, 10, { weightBits: 3, accumulatorBits: 8, accumulator: 'budget' }),
 * )
 * const optimiser = new optim.Adam(model.parameters(), { lr: 0.03 })
 * for (let step = 0; step < 5; step++) {
 *   optimiser.zeroGrad()
 *   model.forward(rand([16, 64])).square().mean().backward()
 *   optimiser.step()
 *   quant.projectBudgets(model)
 * }
 * quant.certify(model.eval()).verify({ bits: 8 })
 * ```
 */
export function projectBudgets(model: Module): void {
  for (const layer of model.modules()) {
    const guard = guardOf(layer)
    if (guard instanceof BudgetCodes) guard.project(layer)
  }
}
