import { noGrad } from '../autograd/index.js'
import { realNumber, wholeNumber } from '../native/index.js'
import { Module, Parameter } from '../nn/index.js'
import { reshape } from '../ops/index.js'
import { assign, full, type Tensor } from '../tensor/index.js'
import type { Statistic } from './statistics.js'

export interface LearnedStatisticOptions {
  /** Training steps in which it follows the batches, before it is learned. Default 300. */
  collectSteps?: number
  /** Weight of a new batch in the running value, null for the plain mean of all. Default 0.1. */
  momentum?: number | null
  /** One for each of so many channels instead of one for all. */
  channels?: number
  /** The dimension that they are. Default 1. */
  axis?: number
}

/**
 * A number that a quantiser needs, over its life: in the first training steps a statistic of each batch,
 * kept in a running average; from then on a learned parameter that starts at that average. Evaluation uses
 * the average until the parameter takes over. Brevitas' `ParameterFromRuntimeStatsScaling` and its like.
 */
export abstract class LearnedStatistic extends Module {
  value: Parameter
  /** Training steps seen, and the running value. */
  declare steps: Tensor
  declare running: Tensor
  readonly collectSteps: number
  readonly momentum: number | null
  readonly channels: number | undefined
  private readonly axis: number

  /**
   * @param statistic what of a batch it follows
   * @param start the value before any batch, or, with `given`, the one that is learned from the first step
   */
  constructor(
    protected readonly statistic: Statistic,
    { collectSteps = 300, momentum = 0.1, channels, axis = 1 }: LearnedStatisticOptions,
    { start, given }: { start: number; given: boolean },
  ) {
    super()
    wholeNumber('collectSteps', collectSteps)
    if (momentum !== null) realNumber('momentum', momentum, 0, 1)
    if (channels !== undefined) wholeNumber('channels', channels, 1)
    this.collectSteps = given ? 0 : collectSteps
    this.momentum = momentum
    this.channels = channels
    this.axis = axis
    const shape = channels === undefined ? [] : [channels]
    this.value = new Parameter(full(shape, start))
    this.registerBuffer('steps', full([], given ? 1 : 0, { dtype: 'int32' }), { onHost: true })
    this.registerBuffer('running', full(shape, start))
  }

  /** Whether the parameter has taken over from the statistics. */
  get learned(): boolean {
    return this.steps.data[0] > this.collectSteps
  }

  /** Whether the next pass looks at its x. */
  get follows(): boolean {
    return this.training && this.steps.data[0] < this.collectSteps
  }

  /** The number for x: from x itself, from the batches so far, or as it was learned. Counts a training step. */
  protected next(x: Tensor): Tensor {
    if (!this.training) return this.over(x, this.learned ? this.fromParameter(this.value) : this.running)
    const step = this.steps.data[0]
    if (step <= this.collectSteps) {
      this.steps.data[0] = step + 1
      if (step < this.collectSteps) return this.follow(x, step)
      if (step > 0) this.takeOver()
    }
    return this.over(x, this.fromParameter(this.value))
  }

  /** What the parameter stands for, and the parameter that stands for something: the same, unless overridden. */
  protected fromParameter(value: Tensor): Tensor {
    return value
  }
  protected toParameter(running: Tensor): Tensor {
    return running
  }

  /** A value per channel, shaped to broadcast over x. */
  private over(x: Tensor, values: Tensor): Tensor {
    const { channels, axis } = this
    return channels === undefined
      ? values
      : reshape(
          values,
          x.shape.map((_, i) => (i === axis ? channels : 1)),
        )
  }

  /** The parameter starts where the running value has come to. */
  private takeOver(): void {
    assign(this.value.storage, noGrad(() => this.toParameter(this.running)).storage)
  }

  /** The statistic of a batch, which the running value takes note of. */
  private follow(x: Tensor, step: number): Tensor {
    const statistic = this.statistic(x, this.channels === undefined ? null : this.axis)
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
