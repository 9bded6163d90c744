import { defineOp, noGrad } from '../../autograd/index.js'
import { ensure, native } from '../../native/index.js'
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

/** A weight quantiser with a budget for each sign: which codes weights have, and how far they may go. */
export abstract class Budget extends Guard {
  readonly range: IntegerRange
  readonly accumulatorBits: number
  /** The integers that each neuron's sum starts from, [out]; null where it starts from 0. */
  private bias: Tensor | null = null

  constructor({ accumulatorBits, weightBits = 8 }: BudgetOptions) {
    super()
    this.range = integerRange({ bits: weightBits, signed: true, narrow: true })
    this.accumulatorBits = accumulatorBits
    // What is refused here no input could make right.
    requireRoom({ accumulatorBits, input: { min: 0, max: 1 } })
  }

  /** What a code is worth in the units of the latent weights: [out], or [1]. */
  protected abstract get scale(): Tensor

  /** The standard deviation of weights to start from, in codes: most of them are in use then. */
  get spread(): number {
    return this.range.max === 1 ? 0.7 : this.range.max / 2.2
  }

  override look(layer: BudgetedLayer): void {
    super.look(layer)
    this.bias = noGrad(() => this.biasOf(layer))
  }

  /** The integer bias of a layer as its accumulator has it. */
  private biasOf(layer: BudgetedLayer): Tensor | null {
    const bias = layer.effectiveOrNull('bias')
    const { biasRange, inputQuantisation: input } = layer
    if (bias === null || !biasRange || !input) return null
    const unit = mul(input.scale, this.scale)
    return round(div(fakeQuant(bias, unit, { ...biasRange, gradient: 'clamped' }), unit))
  }

  private get held(): Held {
    const { accumulatorBits, knownInput: input, range, bias } = this
    requireRoom({ accumulatorBits, input })
    return { accumulatorBits, input, largest: range.max, bias }
  }

  /** The codes of weights in units of a code. */
  protected codes(units: Tensor): Tensor {
    return roundToBudget(units, this.held)
  }

  /**
   * Brings a layer's latent weights back to the budgets, in place: see `projectSigns`. Those under a mask
   * that is 0 use none of them, and stay as they are.
   */
  project(layer: BudgetedLayer): void {
    this.look(layer)
    const weight = layer.latentWeight('weight')
    const mask = maskOf(layer, 'weight')
    const { held } = this
    const latent = hostValues(weight.storage)
    const scale = noGrad(() => this.scale)
    const scales = scale.size === weight.shape[0] ? hostValues(scale.storage) : null
    native.budgetProject(latent, scales, mask && hostValues(mask.storage), ...rowsOf(weight, held), latent, ...accumulatorOf(held))
    if (weight.device !== 'cpu') assign(weight.storage, latent)
  }
}

/** A budget for weights that are in units of a code themselves, as biases are in those of the accumulator. */
export class BudgetCodes extends Budget {
  /** What a code is worth: [1]. */
  declare one: Tensor

  constructor(options: BudgetOptions) {
    super(options)
    this.registerBuffer('one', full([1], 1), { persistent: false })
  }

  protected get scale(): Tensor {
    return this.one
  }

  override look(layer: BudgetedLayer): void {
    const scale = layer.inputQuantisation?.scale
    // (Not on a GPU, which would have to be waited for.)
    ensure(
      scale === undefined || scale.device !== 'cpu' || (scale.size === 1 && scale.data[0] === 1),
      'STATE',
      () => `${layer.constructor.name}: its input has codes worth ${String(scale?.data[0])}, expected whole numbers; put a Codes or Requantise in front`,
    )
    super.look(layer)
  }

  override forward(weight: Tensor): Tensor {
    const codes = this.codes(weight)
    codes.quantisation = { scale: this.one, ...this.range } satisfies Quantisation
    return codes
  }

  /** Beside the weights, the bias is brought back to its range: outside it would learn nothing. */
  override project(layer: BudgetedLayer): void {
    const { biasRange } = layer
    if (biasRange && layer.effectiveOrNull('bias') !== null) {
      const bias = layer.latentWeight('bias')
      noGrad(() => assign(bias.storage, clamp(bias, biasRange.min, biasRange.max).storage))
    }
    super.project(layer)
  }
}

/** A budget for weights of any size: a scale is learned for each channel, as log₂. */
export class BudgetQuantiser extends Budget {
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

  protected get scale(): Tensor {
    return exp2(this.log2S)
  }

  override forward(weight: Tensor): Tensor {
    const scale = perRow(this.scale, weight)
    // The scale learns from the codes alone: where a weight lies between two of them tells it nothing.
    const quantised = mul(this.codes(div(weight, scale.detach())), scale)
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
    if (guard instanceof Budget) guard.project(layer)
  }
}
