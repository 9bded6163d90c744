import { Linear } from '../../nn/index.js'
import type { WeightOptions } from '../../nn/layers/weights.js'
import { linear } from '../../ops/index.js'
import type { Generator, Quantisation, Tensor } from '../../tensor/index.js'
import type { BudgetCodes } from '../accumulators/budget.js'
import { type AccumulatingLayer, accumulate } from '../integer.js'
import { type IntegerOptions, integerBiasRange, integerWeight, resetIntegers } from '../integerUnits.js'

/** A fully connected layer in whole numbers: codes [n, in] → sums [n, out]. See `IntegerConv2d`. */
export class IntegerLinear extends Linear implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange: ReturnType<typeof integerBiasRange>
  weightQuantiser: BudgetCodes

  constructor(inFeatures: number, outFeatures: number, options: WeightOptions & IntegerOptions) {
    super(inFeatures, outFeatures, options)
    this.biasRange = integerBiasRange(options)
    this.weightQuantiser = integerWeight(this, options)
    this.resetParameters(options.generator)
  }

  override resetParameters(generator?: Generator): void {
    resetIntegers(this, generator)
  }

  override forward(x: Tensor): Tensor {
    return accumulate(this, x, linear)
  }
}
