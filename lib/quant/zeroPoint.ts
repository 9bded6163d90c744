import { noGrad } from '../autograd/index.js'
import { realNumber } from '../native/index.js'
import { absMax, add, bipolar, clamp, div, kthMagnitude, mul, neg, relu, round, sub } from '../ops/index.js'
import type { Tensor } from '../tensor/index.js'
import { LearnedStatistic, type LearnedStatisticOptions } from './learnedStatistic.js'
import type { IntegerRange } from './range.js'
import { percentile, type Statistic } from './statistics.js'

/** Where the zero point of a quantiser comes from: the code of the value 0. */
export interface ZeroPoint {
  /** A whole number among the codes, on the tape. */
  of(x: Tensor, scale: Tensor, codes: IntegerRange): Tensor
}

/** How far x reaches below 0: of its n elements the k-th smallest, k = ⌈percent/100 · n⌉, or 0 where that is above. */
const reachBelow =
  (percent: number): Statistic =>
  (x) => {
    const below = relu(neg(x))
    const rank = x.size + 1 - Math.max(1, Math.ceil((percent / 100) * x.size))
    return rank === x.size ? absMax(below) : kthMagnitude(below, rank)
  }

/**
 * How far x reaches from its low percentile to its high one, 0 included: the threshold of a scale with a
 * zero point. Where x has values of both signs it is Brevitas' `AbsPercentileInterval`.
 */
export function interval(low = 0.001, high = 99.999): Statistic {
  realNumber('interval: low', low, 0, 100)
  const [below, above] = [reachBelow(low), percentile(high)]
  return (x) => add(above(relu(x), null), below(x, null))
}

/**
 * A zero point that lets the codes begin where the values do: it follows the low percentile of the batches,
 * then is learned, as a distance below 0. Brevitas' `ParameterFromRuntimeZeroPoint` over
 * `NegativePercentileOrZero`, quantised.
 */
export class LearnedZeroPoint extends LearnedStatistic implements ZeroPoint {
  constructor({ low = 0.001, ...options }: Omit<LearnedStatisticOptions, 'channels'> & { low?: number } = {}) {
    realNumber('LearnedZeroPoint: low', low, 0, 100)
    super(reachBelow(low), options, { start: 0, given: false })
  }

  /** The distance below 0, ≥ 0; a parameter of 0 is free to move. */
  override forward(x: Tensor): Tensor {
    const distance = this.next(x)
    return mul(
      distance,
      noGrad(() => bipolar(distance)),
    )
  }

  of(x: Tensor, scale: Tensor, { min, max }: IntegerRange): Tensor {
    const code = add(div(this.forward(x), scale), min)
    // Straight through the rounding.
    const whole = add(code, sub(round(code), code).detach())
    return clamp(whole, min, max)
  }
}
