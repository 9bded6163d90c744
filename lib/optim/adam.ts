import { native, type Storage } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { Optimizer, type ParamGroup, type ParamsOf, slot, type UpdateMask } from './optimizer.js'
import { atLeast, flag, pairOfRates, type Settings } from './settings.js'
import type { ParameterState } from './state.js'

export interface AdamOptions {
  /** Learning rate, ≥ 0. Default 0.001. */
  lr: number
  /** Decay rates of the running means of the gradient and of its square, each in [0, 1). Default [0.9, 0.999]. */
  betas: readonly [number, number]
  /** Added to the root, ≥ 0. Default 1e-8. */
  eps: number
  /** λ ≥ 0. Adam adds λ·parameter to the gradient (default 0); AdamW shrinks the parameter by 1 − lr·λ (default 0.01). */
  weightDecay: number
  /** Divide by the largest running square met so far (Reddi et al. 2018). Default false. */
  amsgrad: boolean
  /** Climb instead of descend. Default false. */
  maximize: boolean
}

/** The settings of Adam and AdamW, which differ in one default. */
export const adamSettings = (weightDecay: number): Settings<AdamOptions> => ({
  lr: [0.001, atLeast(0)],
  betas: [[0.9, 0.999], pairOfRates],
  eps: [1e-8, atLeast(0)],
  weightDecay: [weightDecay, atLeast(0)],
  amsgrad: [false, flag],
  maximize: [false, flag],
})

/** What Adam and AdamW share. */
export abstract class AdamLike extends Optimizer<AdamOptions> {
  /** Whether weight decay stands apart from the gradient: 1 or 0. */
  protected abstract readonly decoupled: number

  // (With eps 0 it would move by 0 / 0.)
  protected override rests({ weightDecay, eps }: ParamGroup<AdamOptions>): boolean {
    return weightDecay === 0 && eps > 0
  }

  protected update(parameter: Tensor, gradient: Storage, group: ParamGroup<AdamOptions>, state: ParameterState, mask: UpdateMask): void {
    const { lr, betas, eps, weightDecay, amsgrad, maximize } = group
    native.adamStep(
      parameter.storage,
      gradient,
      slot(state, 'mean', parameter),
      slot(state, 'square', parameter),
      amsgrad ? slot(state, 'largest', parameter) : null,
      mask.storage,
      mask.rule,
      state.step,
      lr,
      betas[0],
      betas[1],
      eps,
      weightDecay,
      this.decoupled,
      Number(maximize),
    )
  }
}

/**
 * Adam: moves by the running mean of the gradient over the root of the running mean of its square,
 * both corrected for their start at zero. Kingma & Ba, "Adam: a method for stochastic optimization", 2015.
 */
export class Adam extends AdamLike {
  protected readonly decoupled = 0

  constructor(params: ParamsOf<AdamOptions>, options: Partial<AdamOptions> = {}) {
    super('Adam', params, options, adamSettings(0))
  }
}
