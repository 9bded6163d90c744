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

/**
 * Cross entropy of logits [n, classes] and class numbers, int32 [n], or a probability a class, [n, classes]: of shape [], or [n]
 * with `reduction: 'none'`. See `ops.crossEntropy`.
 *
 * @throws EspalierError when used: SHAPE_MISMATCH for shapes that do not fit or classes that are not int32, INVALID_ARGUMENT
 *   for a class number outside 0 … classes − 1 (but `ignoreIndex`) and options out of range
 * @example
 * ```ts
 * import { nn, tensor } from 'espalier'
 * const loss = new nn.CrossEntropyLoss({ labelSmoothing: 0.1 })
 * loss.forward(tensor([[2, 0, 0], [0, 2, 0]]), tensor(Int32Array.of(0, 2))).item()
 * ```
 */
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

/**
 * Negative log-likelihood of log-probabilities [n, classes] and class numbers, int32 [n]: of shape [], or [n] with
 * `reduction: 'none'`. Errors as those of `CrossEntropyLoss`.
 */
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

/**
 * (input − target)² of two tensors of one shape: of shape [], or that of the inputs with `reduction: 'none'`.
 *
 * @throws EspalierError SHAPE_MISMATCH, when used, for different shapes: nothing is broadcast
 */
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

/** |input − target|; shapes and errors as those of `MSELoss`. */
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

/**
 * Binary cross entropy of logits and targets, usually 0 … 1 (which is not checked), element by element; shapes and errors as
 * those of `MSELoss`. See `ops.bceWithLogits`.
 */
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
