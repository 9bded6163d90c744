import { ceilPowerOfTwo, fakeQuantByLargest, largestScale, maximum, smallestThreshold, thresholdScale } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { largest, type Statistic } from '../statistics.js'
import type { Scale } from './scale.js'

export interface StatisticScaleOptions {
  /** A dimension with a scale for each of its indices. Default: one for all. */
  axis?: number | null
  /** Bring the statistic up to a power of two. Default false. */
  powerOfTwo?: boolean
}

/**
 * The scale that a statistic of x gives, found anew in each pass, with the gradient through it. Where x is
 * a weight this is Brevitas' `StatsFromParameterScaling`.
 */
export function statisticScale(statistic: Statistic, { axis = null, powerOfTwo = false }: StatisticScaleOptions = {}): Scale {
  const of = (x: Tensor, top: number): Tensor => {
    const threshold = statistic(x, axis)
    return thresholdScale(powerOfTwo ? ceilPowerOfTwo(maximum(threshold, smallestThreshold)) : threshold, top)
  }
  if (statistic !== largest || (axis !== null && axis !== 0)) return { powerOfTwo, follows: true, of }
  const perChannel = axis === 0
  return {
    powerOfTwo,
    follows: true,
    of: (x, top) => largestScale(x, { top, perChannel, powerOfTwo }),
    quantise(x, top, { min, max }, gradient) {
      if (gradient !== 'straight-through') return null
      const options = { top, perChannel, powerOfTwo }
      const { y, found } = fakeQuantByLargest(x, min, max, options)
      return { y, plain: found.scale, scale: () => largestScale(x, options, found) }
    },
  }
}
