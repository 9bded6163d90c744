import { noGrad } from '../../autograd/index.js'
import { ensure, wholeNumber } from '../../native/index.js'
import { Module, Parameter } from '../../nn/index.js'
import { exp, mul, reshape } from '../../ops/index.js'
import { formatShape, type Tensor, zeros } from '../../tensor/index.js'
import { overwrite } from '../accumulators/channels.js'

/**
 * Sums times a positive multiplier for each channel, exp(l) with l learned: [n, channels, …] → the same. What turns
 * the sums of the last layer of whole numbers into logits.
 */
export class Rescale extends Module {
  /** Natural logarithm of each channel's multiplier: [channels]. */
  logMultiplier: Parameter

  constructor(readonly channels: number) {
    super()
    wholeNumber('channels', channels)
    this.logMultiplier = new Parameter(zeros([channels]))
  }

  protected check(sums: Tensor): void {
    ensure(
      sums.rank >= 2 && sums.shape[1] === this.channels,
      'SHAPE_MISMATCH',
      () => `${this.constructor.name}: the sums have shape ${formatShape(sums.shape)}, expected [n, ${this.channels}, …]`,
    )
  }

  override forward(sums: Tensor): Tensor {
    this.check(sums)
    return mul(sums, reshape(exp(this.logMultiplier), [1, this.channels, ...new Array<number>(sums.rank - 2).fill(1)]))
  }

  /**
   * Multipliers to start from, given the standard deviation of each channel's sums: one for all, such that
   * logits have a deviation of 3 on average.
   */
  start(deviations: Float64Array): void {
    const average = deviations.reduce((sum, deviation) => sum + deviation, 0) / deviations.length
    this.multipliers = deviations.map(() => 3 / average)
  }

  protected set multipliers(values: Float64Array) {
    noGrad(() => overwrite(this.logMultiplier, values.map(Math.log)))
  }

  override extraRepr(): string {
    return String(this.channels)
  }
}
