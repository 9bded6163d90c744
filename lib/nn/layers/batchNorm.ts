import { ensure, realNumber, wholeNumber } from '../../native/index.js'
import { batchNorm } from '../../ops/index.js'
import { formatShape, ones, type Tensor, zeros } from '../../tensor/index.js'
import { Module } from '../module.js'
import { Parameter } from '../parameter.js'
import { showOptions } from './weights.js'

export interface BatchNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number
  /** Weight of a new batch in the running statistics; null averages all batches equally. Default 0.1. */
  momentum?: number | null
  /** Whether a scale and an offset are learned for each channel. Default true. */
  affine?: boolean
  /** Whether running statistics are kept for evaluation; without them every batch is normalised by its own. Default true. */
  trackRunningStats?: boolean
}

const defaults = { eps: 1e-5, momentum: 0.1, affine: true, trackRunningStats: true }

/** What the batch norms share; they differ in the inputs they take. */
abstract class BatchNorm extends Module {
  weight: Parameter | null
  bias: Parameter | null
  declare running_mean: Tensor | null
  declare running_var: Tensor | null
  declare num_batches_tracked: Tensor | null
  readonly options: Readonly<Required<BatchNormOptions>>

  constructor(
    readonly numFeatures: number,
    options: BatchNormOptions = {},
  ) {
    super()
    wholeNumber(`${new.target.name}: numFeatures`, numFeatures)
    this.options = { ...defaults, ...options }
    const { eps, momentum, affine, trackRunningStats } = this.options
    realNumber(`${new.target.name}: eps`, eps, 0)
    if (momentum !== null) realNumber(`${new.target.name}: momentum`, momentum, 0, 1)
    this.weight = affine ? new Parameter(ones([numFeatures])) : null
    this.bias = affine ? new Parameter(zeros([numFeatures])) : null
    this.registerBuffer('running_mean', trackRunningStats ? zeros([numFeatures]) : null)
    this.registerBuffer('running_var', trackRunningStats ? ones([numFeatures]) : null)
    this.registerBuffer('num_batches_tracked', trackRunningStats ? zeros([], { dtype: 'int32' }) : null, { onHost: true })
  }

  /** The input's shape, else an error. */
  protected abstract checkInput(x: Tensor): void

  forward(x: Tensor): Tensor {
    this.checkInput(x)
    const { running_mean: runningMean, running_var: runningVar, num_batches_tracked: count } = this
    const { eps, momentum } = this.options
    const weight = this.effectiveOrNull('weight')
    const bias = this.effectiveOrNull('bias')
    if (runningMean === null || runningVar === null || count === null) return batchNorm(x, weight, bias, { training: true, eps })
    if (!this.training) return batchNorm(x, weight, bias, { runningMean, runningVar, training: false, eps })
    const share = momentum ?? 1 / (count.data[0] + 1)
    const y = batchNorm(x, weight, bias, { runningMean, runningVar, training: true, momentum: share, eps })
    count.data[0]++
    return y
  }

  override extraRepr(): string {
    return `${this.numFeatures}${showOptions({ ...this.options }, defaults)}`
  }
}

/**
 * Normalises each channel of [n, c] or [n, c, length] over the batch, then scales and shifts it;
 * in evaluation by the running statistics. Ioffe & Szegedy 2015.
 */
export class BatchNorm1d extends BatchNorm {
  protected checkInput(x: Tensor): void {
    ensure(
      (x.rank === 2 || x.rank === 3) && x.shape[1] === this.numFeatures,
      'SHAPE_MISMATCH',
      () => `BatchNorm1d: input has shape ${formatShape(x.shape)}, expected [n, ${this.numFeatures}] or [n, ${this.numFeatures}, length]`,
    )
  }
}

/** As `BatchNorm1d`, for images [n, c, h, w]. */
export class BatchNorm2d extends BatchNorm {
  protected checkInput(x: Tensor): void {
    ensure(
      x.rank === 4 && x.shape[1] === this.numFeatures,
      'SHAPE_MISMATCH',
      () => `BatchNorm2d: input has shape ${formatShape(x.shape)}, expected [n, ${this.numFeatures}, h, w]`,
    )
  }
}
