import { noGrad } from '../autograd/index.js'
import { ensure, realNumber, wholeNumber } from '../native/index.js'
import { Module, Parameter } from '../nn/index.js'
import { absMax, div, fakeQuant, kthMagnitude, maximum } from '../ops/index.js'
import { assign, full, type Tensor } from '../tensor/index.js'
import { codeOfThreshold, type IntegerRange, integerRange } from './range.js'

export interface ActivationOptions {
  /** Bit width of the codes, 2 to 8. Default 8. */
  bits?: number
  /** Leave out one end of the range. Default false. */
  narrow?: boolean
  /** Training steps in which the threshold follows the batch, before it is learned. Default 300. */
  collectSteps?: number
  /** Percentile of |x| taken as the threshold of a batch. Default 99.999. */
  percentile?: number
  /** Weight of a new batch in the running threshold. Default 0.1. */
  momentum?: number
}

// A threshold of 0 (a batch of zeros) would make the scale 0.
const smallestThreshold = 1e-10

/**
 * The threshold of an activation quantiser over its life: in the first training steps a percentile of
 * each batch, kept in a running average; from then on a learned parameter that starts at that average.
 * Evaluation uses the average until the parameter takes over. Brevitas' `ParameterFromRuntimeStatsScaling`.
 */
class LearnedThreshold extends Module {
  value = new Parameter(full([], 1))
  /** Training steps seen, and the running threshold. */
  declare steps: Tensor
  declare running: Tensor

  constructor(
    readonly collectSteps: number,
    readonly percentile: number,
    readonly momentum: number,
  ) {
    super()
    wholeNumber('collectSteps', collectSteps)
    realNumber('percentile', percentile, 0, 100)
    realNumber('momentum', momentum, 0, 1)
    this.registerBuffer('steps', full([], 0, { dtype: 'int32' }), { onHost: true })
    this.registerBuffer('running', full([], 1))
  }

  override forward(x: Tensor): Tensor {
    return maximum(this.training ? this.whileTraining(x) : this.learned ? this.value : this.running, smallestThreshold)
  }

  /** Whether the parameter has taken over from the statistics. */
  get learned(): boolean {
    return this.steps.data[0] > this.collectSteps
  }

  private whileTraining(x: Tensor): Tensor {
    const step = this.steps.data[0]
    if (step > this.collectSteps) return this.value
    this.steps.data[0] = step + 1
    if (step === this.collectSteps) {
      if (step > 0) assign(this.value.storage, this.running.storage)
      return this.value
    }
    const rank = Math.floor((this.percentile / 100) * x.size + 0.5)
    const statistic = rank >= x.size ? absMax(x) : kthMagnitude(x, rank)
    if (this.running.device === 'cpu') {
      const observed = statistic.data[0]
      this.running.data[0] = step === 0 ? observed : this.running.data[0] * (1 - this.momentum) + observed * this.momentum
    } else {
      // On a GPU without waiting for it.
      const share = step === 0 ? 1 : this.momentum
      assign(this.running.storage, noGrad(() => this.running.mul(1 - share).add(statistic.mul(share))).storage)
    }
    return statistic
  }
}

/** Turns activations into codes of a fixed width: scale × rounding × clamp, per tensor. */
export class ActivationQuantiser extends Module {
  readonly bits: number
  readonly range: IntegerRange
  threshold: LearnedThreshold
  private readonly topCode: number

  constructor(signed: boolean, { bits = 8, narrow = false, collectSteps = 300, percentile = 99.999, momentum = 0.1 }: ActivationOptions) {
    super()
    this.bits = bits
    this.range = integerRange({ bits, signed, narrow })
    this.topCode = codeOfThreshold({ bits, signed, narrow })
    this.threshold = new LearnedThreshold(collectSteps, percentile, momentum)
  }

  override forward(x: Tensor): Tensor {
    ensure(x.size > 0 || !this.training, 'SHAPE_MISMATCH', () => 'quantiser: an empty batch has no range to learn from')
    const scale = div(this.threshold.forward(x), this.topCode)
    const { min, max } = this.range
    const y = fakeQuant(x, scale, { min, max, gradient: 'clamped' })
    y.quantisation = { scale, min, max }
    return y
  }
}
