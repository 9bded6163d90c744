import { realNumber, wholeNumber } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

/** Multiplies the rate by `gamma` (default 0.1) every `stepSize` steps. */
export class StepLR extends Schedule {
  constructor(optimizer: Schedulable, { stepSize, gamma = 0.1 }: { stepSize: number; gamma?: number }) {
    wholeNumber('StepLR: stepSize', stepSize, 1)
    realNumber('StepLR: gamma', gamma, 0)
    super('StepLR', optimizer, ({ epoch, lr }) => (epoch > 0 && epoch % stepSize === 0 ? lr * gamma : lr))
  }
}
