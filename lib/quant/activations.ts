import { noGrad } from '../autograd/index.js'
import { ensure, realNumber, wholeNumber } from '../native/index.js'
import { Module, Parameter } from '../nn/index.js'
import { absMax, ceilPowerOfTwo, div, exp2, fakeQuant, kthMagnitude, log, maximum, reshape } from '../ops/index.js'
import { assign, formatShape, full, type Tensor } from '../tensor/index.js'
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
  /** Weight of a new batch in the running threshold, null for the plain mean of all. Default 0.1. */
  momentum?: number | null
  /** Scales that are powers of two; the logarithm of the threshold is learned then. Default false. */
  powerOfTwo?: boolean
  /** A threshold for each of so many channels (dimension 1) instead of one. Default: one. */
  channels?: number
  /** A threshold > 0 that is given: no step follows the batches. */
  threshold?: number
}

// A threshold of 0 (a batch of zeros) would make the scale 0.
const smallestThreshold = 1e-10

type ThresholdOptions = Required<Pick<ActivationOptions, 'collectSteps' | 'percentile' | 'momentum' | 'powerOfTwo'>> &
  Pick<ActivationOptions, 'channels' | 'threshold'>

/**
 * The threshold of an activation quantiser over its life: in the first training steps a percentile of
 * each batch, kept in a running average; from then on a learned parameter that starts at that average.
 * Evaluation uses the average until the parameter takes over. Brevitas' `ParameterFromRuntimeStatsScaling`.
 *
 * With `powerOfTwo` the parameter is log₂ of the threshold, and the threshold is brought up to a power
 * of two, but not while it follows the batches.
 */
class LearnedThreshold extends Module {
  value: Parameter
  /** Training steps seen, and the running threshold. */
  declare steps: Tensor
  declare running: Tensor
  readonly collectSteps: number
  readonly percentile: number
  readonly momentum: number | null
  readonly powerOfTwo: boolean
  readonly channels: number | undefined

  constructor({ collectSteps, percentile, momentum, powerOfTwo, channels, threshold }: ThresholdOptions) {
    super()
    wholeNumber('collectSteps', collectSteps)
    realNumber('percentile', percentile, 0, 100)
    if (momentum !== null) realNumber('momentum', momentum, 0, 1)
    if (channels !== undefined) wholeNumber('channels', channels, 1)
    if (threshold !== undefined) realNumber('threshold', threshold, smallestThreshold)
    this.collectSteps = threshold === undefined ? collectSteps : 0
    this.percentile = percentile
    this.momentum = momentum
    this.powerOfTwo = powerOfTwo
    this.channels = channels
    const shape = channels === undefined ? [] : [channels]
    const start = threshold ?? 1
    this.value = new Parameter(full(shape, threshold !== undefined && powerOfTwo ? Math.log2(start) : start))
    this.registerBuffer('steps', full([], threshold === undefined ? 0 : 1, { dtype: 'int32' }), { onHost: true })
    this.registerBuffer('running', full(shape, start))
  }

  override forward(x: Tensor): Tensor {
    if (!this.training) return this.rounded(this.learned ? this.parameter(x) : this.over(x, this.running))
    const step = this.steps.data[0]
    if (step > this.collectSteps) return this.rounded(this.parameter(x))
    this.steps.data[0] = step + 1
    if (step < this.collectSteps) return maximum(this.follow(x, step), smallestThreshold)
    if (step > 0) this.takeOver()
    return this.rounded(this.parameter(x))
  }

  /** Whether the parameter has taken over from the statistics. */
  get learned(): boolean {
    return this.steps.data[0] > this.collectSteps
  }

  private parameter(x: Tensor): Tensor {
    return this.over(x, this.powerOfTwo ? exp2(this.value) : this.value)
  }

  private rounded(threshold: Tensor): Tensor {
    const usable = maximum(threshold, smallestThreshold)
    return this.powerOfTwo ? ceilPowerOfTwo(usable) : usable
  }

  /** A value per channel, shaped to broadcast over x. */
  private over(x: Tensor, values: Tensor): Tensor {
    return this.channels === undefined ? values : reshape(values, [1, this.channels, ...new Array<number>(x.rank - 2).fill(1)])
  }

  /** The parameter starts where the running threshold has come to. */
  private takeOver(): void {
    const threshold = noGrad(() => maximum(this.running, smallestThreshold))
    assign(this.value.storage, this.powerOfTwo ? noGrad(() => div(log(threshold), Math.LN2)).storage : threshold.storage)
  }

  /** The threshold of a batch, which the running one takes note of. */
  private follow(x: Tensor, step: number): Tensor {
    const each = x.size / (this.channels ?? 1)
    const rank = Math.max(1, Math.floor((this.percentile / 100) * each + 0.5))
    const statistic = this.channels === undefined ? (rank >= x.size ? absMax(x) : kthMagnitude(x, rank)) : kthMagnitude(x, rank, { axis: 1 })
    // The first batch is taken whole.
    const share = step === 0 ? 1 : (this.momentum ?? 1 / (step + 1))
    if (this.running.device === 'cpu')
      for (let i = 0; i < statistic.size; i++)
        this.running.data[i] = step === 0 ? statistic.data[i] : this.running.data[i] * (1 - share) + statistic.data[i] * share
    // On a GPU without waiting for it.
    else assign(this.running.storage, noGrad(() => this.running.mul(1 - share).add(reshape(statistic, this.running.shape).mul(share))).storage)
    return statistic
  }
}

/** Turns activations into codes of a fixed width: scale × rounding × clamp, per tensor or per channel. */
export class ActivationQuantiser extends Module {
  readonly bits: number
  readonly range: IntegerRange
  threshold: LearnedThreshold
  private readonly topCode: number

  constructor(
    signed: boolean,
    { bits = 8, narrow = false, collectSteps = 300, percentile = 99.999, momentum = 0.1, powerOfTwo = false, channels, threshold }: ActivationOptions,
  ) {
    super()
    this.bits = bits
    this.range = integerRange({ bits, signed, narrow })
    this.topCode = codeOfThreshold({ bits, signed, narrow }, powerOfTwo)
    this.threshold = new LearnedThreshold({ collectSteps, percentile, momentum, powerOfTwo, channels, threshold })
  }

  override forward(x: Tensor): Tensor {
    ensure(x.size > 0 || !this.training, 'SHAPE_MISMATCH', () => 'quantiser: an empty batch has no range to learn from')
    const { channels } = this.threshold
    ensure(
      channels === undefined || x.shape[1] === channels,
      'SHAPE_MISMATCH',
      () => `quantiser: the input has shape ${formatShape(x.shape)}, expected [n, ${channels}, …]`,
    )
    const scale = div(this.threshold.forward(x), this.topCode)
    const { min, max } = this.range
    const y = fakeQuant(x, scale, { min, max, gradient: 'clamped' })
    y.quantisation = { scale, min, max, quantiser: this }
    return y
  }
}
