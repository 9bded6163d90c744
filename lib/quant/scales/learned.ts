import { realNumber } from '../../native/index.js'
import { ceilPowerOfTwo, div, exp2, fakeQuantByThreshold, findScale, log, maximum, smallestThreshold, thresholdScale } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { LearnedStatistic, type LearnedStatisticOptions } from '../learnedStatistic.js'
import type { IntegerRange } from '../range.js'
import type { Gradient } from '../roundings.js'
import type { Statistic } from '../statistics.js'
import type { Quantised, Scale } from './scale.js'

export interface LearnedScaleOptions extends LearnedStatisticOptions {
  /** Scales that are powers of two; the logarithm of the threshold is learned then. Default false. */
  powerOfTwo?: boolean
  /** Thresholds > 0 that are given, one, or one a channel: no step follows the batches. */
  threshold?: number | ArrayLike<number>
}

/**
 * A scale whose threshold follows the batches at first and is learned from then on; see `LearnedStatistic`.
 * With `powerOfTwo` the parameter is log₂ of the threshold, and the threshold is brought up to a power of
 * two, but not while it follows the batches.
 */
export class LearnedScale extends LearnedStatistic implements Scale {
  readonly powerOfTwo: boolean

  constructor(statistic: Statistic, { powerOfTwo = false, threshold, ...options }: LearnedScaleOptions) {
    const given = threshold === undefined ? [] : typeof threshold === 'number' ? [threshold] : Array.from(threshold)
    for (const one of given) realNumber('threshold', one, smallestThreshold)
    super(statistic, options, { start: 1, given: threshold !== undefined })
    this.powerOfTwo = powerOfTwo
    for (let i = 0; i < this.value.size && given.length > 0; i++) {
      const one = given[i % given.length]
      this.running.data[i] = one
      this.value.data[i] = powerOfTwo ? Math.log2(one) : one
    }
  }

  of(x: Tensor, top: number): Tensor {
    return thresholdScale(this.forward(x), top)
  }

  quantise(x: Tensor, top: number, { min, max }: IntegerRange, gradient: Gradient): Quantised {
    const threshold = this.forward(x)
    const found = findScale(threshold, top)
    return { y: fakeQuantByThreshold(x, threshold, found, { min, max, gradient }), plain: found.scale, scale: () => thresholdScale(threshold, top, found) }
  }

  /** The threshold for x. */
  override forward(x: Tensor): Tensor {
    const asItIs = !this.powerOfTwo || this.follows
    const threshold = this.next(x)
    return asItIs ? threshold : ceilPowerOfTwo(maximum(threshold, smallestThreshold))
  }

  protected override fromParameter(value: Tensor): Tensor {
    return this.powerOfTwo ? exp2(value) : value
  }

  protected override toParameter(running: Tensor): Tensor {
    const threshold = maximum(running, smallestThreshold)
    return this.powerOfTwo ? div(log(threshold), Math.LN2) : threshold
  }
}
