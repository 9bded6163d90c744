import type { Module } from '../../../nn/index.js'
import { type Amount, amountOf } from '../../amounts/amount.js'
import type { BiasRule } from '../../biasMask.js'
import { random } from '../../scores/random.js'
import { slice } from '../../structures/slice.js'
import { ComposedMethod } from './method.js'
import type { RandomOptions } from './randomUnstructured.js'

/** Slices along a dimension fall by lot. */
export class RandomStructured extends ComposedMethod {
  readonly pruningType = 'structured'

  constructor(
    amount: number | Amount,
    override readonly dim = -1,
    { of, generator }: RandomOptions = {},
  ) {
    super({ score: random({ generator }), structure: slice(dim), amount: amountOf(amount, of) })
  }
}

/**
 * Masks slices of one parameter along `dim` by lot. The amount counts slices of which anything is left.
 * State, errors and `bias` as in `lnStructured`.
 */
export function randomStructured(
  module: Module,
  name: string,
  amount: number | Amount,
  dim: number,
  { bias, ...options }: RandomOptions & { bias?: BiasRule } = {},
): Module {
  new RandomStructured(amount, dim, options).apply(module, name, { bias })
  return module
}
