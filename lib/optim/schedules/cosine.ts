import { realNumber, wholeNumber } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

/**
 * From the initial rate to `etaMin` (default 0) along half a cosine in `tMax` steps, and back in the
 * next `tMax`. Loshchilov & Hutter, "SGDR", 2017, without restarts; PyTorch's recurrence.
 */
export class CosineAnnealingLR extends Schedule {
  constructor(optimizer: Schedulable, { tMax, etaMin = 0 }: { tMax: number; etaMin?: number }) {
    wholeNumber('CosineAnnealingLR: tMax', tMax, 1)
    realNumber('CosineAnnealingLR: etaMin', etaMin, 0)
    const height = (epoch: number) => 1 + Math.cos((Math.PI * epoch) / tMax)
    super('CosineAnnealingLR', optimizer, ({ epoch, lr, base }) => {
      if (epoch === 0) return lr
      // At the foot of the curve the quotient below would be 0/0: the first step up stands on its own.
      if ((epoch - 1 - tMax) % (2 * tMax) === 0) return lr + ((base - etaMin) * (1 - Math.cos(Math.PI / tMax))) / 2
      return (height(epoch) / height(epoch - 1)) * (lr - etaMin) + etaMin
    })
  }
}
