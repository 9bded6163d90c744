import type { Module } from '../../../nn/index.js'
import type { Generator } from '../../../tensor/index.js'
import { type Amount, amountOf, type Basis } from '../../amounts/amount.js'
import { random } from '../../scores/random.js'
import { element } from '../../structures/element.js'
import { ComposedMethod } from './method.js'

export interface RandomOptions {
  of?: Basis
  /** Draws what falls. Default: the library's own, see `manualSeed`. */
  generator?: Generator
}

/** Weights fall by lot. */
export class RandomUnstructured extends ComposedMethod {
  readonly pruningType = 'unstructured'

  constructor(amount: number | Amount, { of, generator }: RandomOptions = {}) {
    super({ score: random({ generator }), structure: element, amount: amountOf(amount, of) })
  }
}

/** Masks weights of one parameter by lot. Amounts, state and errors as in `l1Unstructured`. */
export function randomUnstructured(module: Module, name: string, amount: number | Amount, options: RandomOptions = {}): Module {
  new RandomUnstructured(amount, options).apply(module, name)
  return module
}
