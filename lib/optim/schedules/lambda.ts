import { describe, ensure } from '../../native/index.js'
import { type Schedulable, Schedule } from './schedule.js'

/** The initial rate times `factor(epoch)`; one function, or one for each group. */
export class LambdaLR extends Schedule {
  constructor(optimizer: Schedulable, factor: ((epoch: number) => number) | readonly ((epoch: number) => number)[]) {
    const groups = optimizer.paramGroups?.length
    const factors = typeof factor === 'function' ? Array.from({ length: groups }, () => factor) : factor
    ensure(
      Array.isArray(factors) && factors.length === groups && factors.every((made) => typeof made === 'function'),
      'INVALID_ARGUMENT',
      () => `LambdaLR: factor is ${describe(factor)}, expected a function, or one for each of ${groups} groups`,
    )
    super('LambdaLR', optimizer, ({ epoch, base, group }) => base * factors[group](epoch))
  }
}
