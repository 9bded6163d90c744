import { native, type Storage } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Optimizer, type ParamGroup, type ParamsOf, slot, type UpdateMask } from './optimizer.js'
import { atLeast, decayRate, flag } from './settings.js'
import type { ParameterState } from './state.js'

export interface RMSpropOptions {
  /** Learning rate, ≥ 0. Default 0.01. */
  lr: number
  /** Decay rate of the running mean of squares, in [0, 1). Default 0.99. */
  alpha: number
  /** Added outside the root, ≥ 0. Default 1e-8. */
  eps: number
  /** λ ≥ 0: adds λ·parameter to the gradient. Default 0. */
  weightDecay: number
  /** Share of the last move that is kept, ≥ 0. Default 0. */
  momentum: number
  /** Divide by the running standard deviation instead of the root mean square. Default false. */
  centered: boolean
  /** Climb instead of descend. Default false. */
  maximize: boolean
}

/**
 * RMSprop: moves by the gradient over the root of the running mean of its square. Hinton, "Neural
 * networks for machine learning", lecture 6, 2012; centered: Graves 2013. As in PyTorch, but a
 * variance that rounds below 0 counts as 0 and gives no NaN.
 */
export class RMSprop extends Optimizer<RMSpropOptions> {
  constructor(params: ParamsOf<RMSpropOptions>, options: Partial<RMSpropOptions> = {}) {
    super('RMSprop', params, options, {
      lr: [0.01, atLeast(0)],
      alpha: [0.99, decayRate],
      eps: [1e-8, atLeast(0)],
      weightDecay: [0, atLeast(0)],
      momentum: [0, atLeast(0)],
      centered: [false, flag],
      maximize: [false, flag],
    })
  }

  // (With eps 0 it would move by 0 / 0.)
  protected override rests({ weightDecay, eps }: ParamGroup<RMSpropOptions>): boolean {
    return weightDecay === 0 && eps > 0
  }

  protected update(parameter: Tensor, gradient: Storage, group: ParamGroup<RMSpropOptions>, state: ParameterState, mask: UpdateMask): void {
    const { lr, alpha, eps, weightDecay, momentum, centered, maximize } = group
    native.rmspropStep(
      parameter.storage,
      gradient,
      slot(state, 'square', parameter),
      centered ? slot(state, 'mean', parameter) : null,
      momentum === 0 ? null : slot(state, 'velocity', parameter),
      mask.storage,
      mask.rule,
      lr,
      alpha,
      eps,
      weightDecay,
      momentum,
      Number(maximize),
    )
  }
}
