import { Conv2d } from '../../nn/index.js'
import type { Pair } from '../../nn/layers/pair.js'
import type { WeightOptions } from '../../nn/layers/weights.js'
import { type ConvOptions, conv2d } from '../../ops/index.js'
import type { Generator, Quantisation, Tensor } from '../../tensor/index.js'
import type { BudgetCodes } from '../accumulators/budget.js'
import { type AccumulatingLayer, accumulate } from '../integer.js'
import { type IntegerOptions, integerBiasRange, integerWeight, resetIntegers } from '../integerUnits.js'

/**
 * A 2-d convolution in whole numbers: codes [n, in, h, w] → sums [n, out, h', w'], integers that an accumulator of
 * `accumulatorBits` holds whatever the codes are. Its input is codes, of `qnn.Codes` or `qnn.Requantise`.
 *
 * What is learned is in the units of the accumulator: a weight of 2.3 stands for the code 2, a bias of 5.1 for 5.
 * Codes are the nearest to the weights that the accumulator allows beside the bias, the gradient passes
 * straight through, and `quant.projectBudgets` after each step brings the weights back. Biases reach up to three
 * quarters of the register. `quant.startIntegers` finds where to start from.
 *
 * @example
 * ```ts
 * import { nn, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.Codes({ max: 7 }),
 *   new qnn.IntegerConv2d(1, 8, 3, { weightBits: 3, accumulatorBits: 8 }),
 *   new qnn.Requantise(8, { max: 7 }),
 *   new nn.Flatten(),
 *   new qnn.IntegerLinear(8 * 6 * 6, 10, { weightBits: 3, accumulatorBits: 8 }),
 *   new qnn.Rescale(10),
 * )
 * quant.startIntegers(model, rand([200, 1, 8, 8]))
 * quant.certify(model.eval()).verify({ bits: 8 })
 * ```
 */
export class IntegerConv2d extends Conv2d implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange: ReturnType<typeof integerBiasRange>
  weightQuantiser: BudgetCodes

  constructor(inChannels: number, outChannels: number, kernelSize: Pair, options: ConvOptions & WeightOptions & IntegerOptions) {
    super(inChannels, outChannels, kernelSize, options)
    this.biasRange = integerBiasRange(options)
    this.weightQuantiser = integerWeight(this, options)
    this.resetParameters(options.generator)
  }

  override resetParameters(generator?: Generator): void {
    resetIntegers(this, generator)
  }

  override forward(x: Tensor): Tensor {
    return accumulate(this, x, (input, weight, bias) => conv2d(input, weight, bias, this.geometry))
  }
}
