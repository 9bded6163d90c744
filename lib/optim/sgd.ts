import { EspalierError, native, type Storage } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Optimizer, type ParamGroup, type ParamsOf, slot, type UpdateMask } from './optimizer.js'
import { atLeast, flag } from './settings.js'
import type { ParameterState } from './state.js'

export interface SGDOptions {
  /** Learning rate, ≥ 0. */
  lr: number
  /** Share of the last move that is kept, ≥ 0. Default 0. */
  momentum: number
  /** Share of the gradient that does not enter the momentum. Default 0. */
  dampening: number
  /** λ: adds λ·parameter to the gradient. Default 0. */
  weightDecay: number
  /** Look ahead along the momentum; needs momentum > 0 and dampening 0. Default false. */
  nesterov: boolean
  /** Climb instead of descend. Default false. */
  maximize: boolean
}

/**
 * Stochastic gradient descent with momentum as in PyTorch: v ← momentum·v + (1 − dampening)·g (at
 * first v = g), then p ← p − lr·v.
 *
 * @example
 * ```ts
 * import { optim, tensor } from 'espalier'
 * const w = tensor([1, 2], { requiresGrad: true })
 * const optimizer = new optim.SGD([w], { lr: 0.1, momentum: 0.9 })
 * w.grad = tensor([1, 1])
 * optimizer.step() // w is [0.9, 1.9]
 * ```
 */
export class SGD extends Optimizer<SGDOptions> {
  constructor(params: ParamsOf<SGDOptions>, options: Partial<SGDOptions> & { lr: number }) {
    super('SGD', params, options, {
      lr: [Number.NaN, atLeast(0)],
      momentum: [0, atLeast(0)],
      dampening: [0, atLeast(-Number.MAX_VALUE)],
      weightDecay: [0, atLeast(0)],
      nesterov: [false, flag],
      maximize: [false, flag],
    })
  }

  override addParamGroup(group: Parameters<Optimizer<SGDOptions>['addParamGroup']>[0]): void {
    super.addParamGroup(group)
    const { nesterov, momentum, dampening } = this.paramGroups[this.paramGroups.length - 1]
    if (!nesterov || (momentum > 0 && dampening === 0)) return
    this.paramGroups.pop()
    throw new EspalierError('INVALID_ARGUMENT', `SGD: nesterov needs momentum > 0 and dampening 0; momentum is ${momentum}, dampening ${dampening}`)
  }

  protected override rests({ weightDecay }: ParamGroup<SGDOptions>): boolean {
    return weightDecay === 0
  }

  protected update(parameter: Tensor, gradient: Storage, group: ParamGroup<SGDOptions>, state: ParameterState, mask: UpdateMask): void {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = group
    const first = momentum !== 0 && state.slots.velocity === undefined
    const velocity = momentum === 0 ? null : slot(state, 'velocity', parameter)
    native.sgdStep(
      parameter.storage,
      gradient,
      velocity,
      mask.storage,
      mask.rule,
      lr,
      momentum,
      dampening,
      weightDecay,
      Number(nesterov),
      Number(maximize),
      Number(first),
    )
  }
}
