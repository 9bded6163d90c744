// The losses as modules: forward(input, target), see the operations for shapes.
import { bceWithLogits, crossEntropy, l1Loss, mseLoss, nllLoss } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { Module } from '../module.js'

/** How the losses of the samples become one: their mean, their sum, or not at all. */
export type Reduction = 'mean' | 'sum' | 'none'

export interface LossOptions {
  /** Default 'mean'. */
  reduction?: Reduction
}

export interface ClassLossOptions extends LossOptions {
  /** A factor a class. */
  weight?: Tensor | null
  /** Targets of this value count nothing. Default −100. */
  ignoreIndex?: number
}

export interface CrossEntropyOptions extends ClassLossOptions {
  /** The share of the target that is spread evenly over all classes. Default 0. */
  labelSmoothing?: number
}

/** Cross entropy of logits [n, classes] and class numbers [n]. */
export class CrossEntropyLoss extends Module {
  declare weight: Tensor | null

  readonly options: Readonly<Required<Omit<CrossEntropyOptions, 'weight'>>>

  constructor({ weight = null, reduction = 'mean', ignoreIndex = -100, labelSmoothing = 0 }: CrossEntropyOptions = {}) {
    super()
    this.registerBuffer('weight', weight)
    this.options = { reduction, ignoreIndex, labelSmoothing }
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return crossEntropy(input, target, { weight: this.weight, ...this.options })
  }
}

/** Negative log-likelihood of log-probabilities [n, classes] and class numbers [n]. */
export class NLLLoss extends Module {
  declare weight: Tensor | null

  readonly options: Readonly<Required<Omit<ClassLossOptions, 'weight'>>>

  constructor({ weight = null, reduction = 'mean', ignoreIndex = -100 }: ClassLossOptions = {}) {
    super()
    this.registerBuffer('weight', weight)
    this.options = { reduction, ignoreIndex }
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return nllLoss(input, target, { weight: this.weight, ...this.options })
  }
}

/** (input − target)². */
export class MSELoss extends Module {
  readonly reduction: Reduction

  constructor({ reduction = 'mean' }: LossOptions = {}) {
    super()
    this.reduction = reduction
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return mseLoss(input, target, { reduction: this.reduction })
  }
}

/** |input − target|. */
export class L1Loss extends Module {
  readonly reduction: Reduction

  constructor({ reduction = 'mean' }: LossOptions = {}) {
    super()
    this.reduction = reduction
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return l1Loss(input, target, { reduction: this.reduction })
  }
}

export interface BCEWithLogitsOptions extends LossOptions {
  /** A factor an element, broadcast. */
  weight?: Tensor | null
  /** A factor on the positive part, along the last dimension. */
  posWeight?: Tensor | null
}

/** Binary cross entropy of logits and targets in 0 … 1, elementwise. */
export class BCEWithLogitsLoss extends Module {
  declare weight: Tensor | null
  declare pos_weight: Tensor | null
  readonly reduction: Reduction

  constructor({ weight = null, posWeight = null, reduction = 'mean' }: BCEWithLogitsOptions = {}) {
    super()
    this.registerBuffer('weight', weight)
    this.registerBuffer('pos_weight', posWeight)
    this.reduction = reduction
  }

  forward(input: Tensor, target: Tensor): Tensor {
    return bceWithLogits(input, target, { weight: this.weight, posWeight: this.pos_weight, reduction: this.reduction })
  }
}
