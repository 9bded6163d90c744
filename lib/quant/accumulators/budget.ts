import { defineOp, noGrad } from '../../autograd/index.js'
import { type Module, maskOf, Parameter } from '../../nn/index.js'
import { div, exp2, log, maximum, mean, mul, sqrt, square } from '../../ops/index.js'
import { assign, converted, empty, hostValues, type Quantisation, Tensor } from '../../tensor/index.js'
import { type IntegerRange, integerRange } from '../range.js'
import { overwrite, perRow, smallest, within } from './channels.js'
import { Guard, guardOf } from './guard.js'
import { budgetCodes, projectSigns, type SignBudgets, signBudgets } from './signBudgets.js'

// Weights kept within a budget for each sign, which is all that an accumulator under unsigned inputs
// asks for: at equal width it affords more than a cap on the norm. Codes are the nearest that the
// budgets allow, and latent weights are brought back to the budgets after each step.

export interface BudgetOptions {
  /** Width of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
  /** Codes of an integer bias inside the accumulator. Default: none. */
  bias?: IntegerRange
}

/** Applies a function to each row of some values. */
function eachRow(values: Float64Array, rows: number, f: (row: Float64Array, index: number) => ArrayLike<number>): Float64Array {
  const fanIn = rows === 0 ? 0 : values.length / rows
  for (let row = 0; row < rows; row++) {
    const slice = values.subarray(row * fanIn, (row + 1) * fanIn)
    slice.set(f(slice, row))
  }
  return values
}

/** The codes of weights in units of a code, [out, …]: see `budgetCodes`. The gradient passes straight through. */
const roundToBudget = defineOp({
  name: 'round_to_budget',
  forward(v: Tensor, budgets: SignBudgets, largest: number) {
    const codes = eachRow(Float64Array.from(hostValues(v.storage)), v.shape[0], (row) => budgetCodes(row, budgets, largest))
    return new Tensor(converted(codes, v.dtype, v.device), v.shape, v.dtype)
  },
  backward: (grad) => [grad],
  // Rounding has no useful derivative: see test/quant/budget.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) => Array.from({ length: 20 }, (_, i): [Tensor, SignBudgets, number] => [sample([1 + (i % 3), i]), { positive: i, negative: 3 }, 3]),
})

/** A weight quantiser with a budget for each sign and a learned scale, one a channel, as log₂. */
export class BudgetQuantiser extends Guard {
  readonly range: IntegerRange
  readonly accumulatorBits: number
  private readonly bias: IntegerRange
  /** log₂ of each channel's scale: [out]. */
  log2S: Parameter

  /** @param weight [out, …]: what the scales start from */
  constructor(weight: Tensor, { accumulatorBits, weightBits = 8, bias = { min: 0, max: 0 } }: BudgetOptions) {
    super()
    this.range = integerRange({ bits: weightBits, signed: true, narrow: true })
    this.accumulatorBits = accumulatorBits
    this.bias = bias
    // What is refused here no input could make right.
    signBudgets({ accumulatorBits, input: { min: 0, max: 1 }, bias })
    this.log2S = new Parameter(empty([weight.shape[0]]))
    this.initialise(weight)
  }

  /** Starts from a weight: its channels' root mean squares become 0.7 of a code, or 1/2.2 of the largest. */
  initialise(weight: Tensor): void {
    const spread = this.range.max === 1 ? 0.7 : this.range.max / 2.2
    noGrad(() => {
      const size = maximum(sqrt(mean(square(weight), within(weight))), smallest)
      assign(this.log2S.storage, div(log(div(size, spread)), Math.LN2).storage)
    })
  }

  /** What the weights of a neuron may add up to. */
  get budgets(): SignBudgets {
    return signBudgets({ accumulatorBits: this.accumulatorBits, input: this.knownInput, bias: this.bias })
  }

  override forward(weight: Tensor): Tensor {
    const scale = perRow(exp2(this.log2S), weight)
    const { min, max } = this.range
    // The scale learns from the codes alone: where a weight lies between two of them tells it nothing.
    const quantised = mul(roundToBudget(div(weight, scale.detach()), this.budgets, max), scale)
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
  }

  /**
   * Brings latent weights back to the budgets, in place: see `projectSigns`. Those under a `mask` that is
   * 0 use none of them, and stay as they are.
   */
  project(weight: Tensor, mask: Tensor | null = null): void {
    const { budgets } = this
    const latent = hostValues(weight.storage)
    const active = mask === null ? null : hostValues(mask.storage)
    const open = (i: number): boolean => active === null || active[i] !== 0
    const exponents = hostValues(this.log2S.storage)
    const values = eachRow(
      Float64Array.from(latent, (value, i) => (open(i) ? value : 0)),
      exponents.length,
      (row, i) => {
        const scale = 2 ** exponents[i]
        return projectSigns(
          row.map((value) => value / scale),
          budgets,
          this.range.max,
        ).map((value) => value * scale)
      },
    )
    overwrite(
      weight,
      values.map((value, i) => (open(i) ? value : latent[i])),
    )
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
    if (guard instanceof BudgetQuantiser) guard.project(layer.latentWeight('weight'), maskOf(layer, 'weight'))
  }
}
