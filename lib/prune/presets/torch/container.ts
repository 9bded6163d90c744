import { describe, ensure } from '../../../native/index.js'
import type { Tensor } from '../../../tensor/index.js'
import { BasePruningMethod } from './method.js'

/**
 * Methods one after another. The mask so far holds what the earlier ones did, so that `computeMask`
 * lets only the last one act, on what that mask left, as in PyTorch.
 *
 * Modules keep no container: their mask says what fell.
 */
export class PruningContainer extends BasePruningMethod {
  readonly pruningType = 'global'
  readonly #methods: BasePruningMethod[] = []

  constructor(...methods: BasePruningMethod[]) {
    super()
    for (const method of methods) this.addPruningMethod(method)
  }

  addPruningMethod(method: BasePruningMethod): void {
    ensure(method instanceof BasePruningMethod, 'INVALID_ARGUMENT', () => `addPruningMethod: ${describe(method)} is no pruning method`)
    this.#methods.push(method)
  }

  get length(): number {
    return this.#methods.length
  }

  /** The i-th method; negative ones count from the end. */
  at(i: number): BasePruningMethod | undefined {
    return this.#methods.at(i)
  }

  [Symbol.iterator](): Iterator<BasePruningMethod> {
    return this.#methods.values()
  }

  computeMask(t: Tensor, defaultMask: Tensor): Tensor {
    const last = this.#methods.at(-1)
    ensure(last !== undefined, 'STATE', () => 'PruningContainer: it holds no method')
    return last.masksAfter([{ weight: t, mask: defaultMask }])[0]
  }
}
