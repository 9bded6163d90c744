import { ensure, realNumber, wholeNumber } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

export interface LinearLROptions {
  /** Share of the rate at the start, in (0, 1]. Default 1/3. */
  startFactor?: number
  /** Share of the rate at the end, in [0, 1]. Default 1. */
  endFactor?: number
  /** Steps from one to the other. Default 5. */
  totalIters?: number
}

/** Scales the rate by a factor that goes from `startFactor` to `endFactor` in a straight line: a warm-up. */
export class LinearLR extends Schedule {
  constructor(optimizer: Schedulable, { startFactor = 1 / 3, endFactor = 1, totalIters = 5 }: LinearLROptions = {}) {
    realNumber('LinearLR: startFactor', startFactor, 0, 1)
    ensure(startFactor > 0, 'INVALID_ARGUMENT', () => 'LinearLR: startFactor is 0, expected more')
    realNumber('LinearLR: endFactor', endFactor, 0, 1)
    wholeNumber('LinearLR: totalIters', totalIters, 1)
    const rise = endFactor - startFactor
    super('LinearLR', optimizer, ({ epoch, lr }) => {
      if (epoch === 0) return lr * startFactor
      return epoch > totalIters ? lr : lr * (1 + rise / (totalIters * startFactor + (epoch - 1) * rise))
    })
  }
}
