import { realNumber } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

/** Multiplies the rate by `gamma` at every step. */
export class ExponentialLR extends Schedule {
  constructor(optimizer: Schedulable, { gamma }: { gamma: number }) {
    realNumber('ExponentialLR: gamma', gamma, 0)
    super('ExponentialLR', optimizer, ({ epoch, lr }) => (epoch === 0 ? lr : lr * gamma))
  }
}
