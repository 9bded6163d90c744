import type { Module } from '../../nn/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'

/**
 * Something observed of a weight while batches pass, which a score may need: its gradients, the norm of
 * its inputs, the values it started from. What is kept of a weight is a tensor, zeros at first, that these
 * functions update in place; it is saved with the pruner's state. A shared layer is seen once for each use.
 */
export interface Statistic {
  /** Names it in saved states: short, without dots. */
  readonly name: string
  /** The shape of what is kept of a layer's weight. Default: the weight's. */
  shape?(weight: Shape, module: Module): Shape
  /** Once, when the observation begins, with the latent weight. */
  onStart?(kept: Tensor, weight: Tensor): void
  /** In each forward pass in training, with the layer's input. */
  onInput?(kept: Tensor, input: Tensor, module: Module): void
  /** In each backward pass, with the gradient of the masked weight (dense: at what has fallen too) and the latent weight. */
  onGradient?(kept: Tensor, gradient: Tensor, weight: Tensor): void
  /** In `Pruner.probe`, with the diagonal of the Hessian as one random direction shows it. */
  onProbe?(kept: Tensor, diagonal: Tensor): void
  /** Set where it starts from zeros again each time masks were drawn. */
  readonly resets?: true
}

/** What a score may look at beside the weight. */
export interface Seen {
  /** The layer; null where a weight is scored by itself. */
  readonly module: Module | null
  /** The model the layer is part of; null where a weight is scored by itself. */
  readonly model: Module | null
  /** The mask so far; null: nothing has fallen. */
  readonly mask: Tensor | null
  /**
   * What was observed.
   * @throws EspalierError STATE where nothing was
   */
  of(statistic: Statistic): Tensor
}
