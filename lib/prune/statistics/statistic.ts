import type { Module } from '../../nn/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'

/**
 * Something observed of a weight while batches pass, which a score may need: its gradients, the norm of
 * its inputs, the values it started from. A statistic is a tensor by weight, updated in place and saved
 * with the pruner's state; one object serves all weights.
 */
export interface Statistic {
  /** Names it in saved states: short, without dots. */
  readonly name: string
  /** The shape of what is kept for a weight. Default: the weight's. Starts as zeros. */
  shape?(weight: Shape): Shape
  /** Once, when the pruner begins to observe; `weight` is the latent one. */
  onStart?(kept: Tensor, weight: Tensor): void
  /** In each forward pass of the layer, with its input. */
  onInput?(kept: Tensor, input: Tensor, module: Module): void
  /** In each backward pass, with the gradient of the masked weight (dense, whatever the mask) and that weight. */
  onGradient?(kept: Tensor, gradient: Tensor, weight: Tensor): void
  /** In `Pruner.calibrate` alone, once a batch: may change the latent weight and call `gradient` for that of the batch's loss there, if it changes it back. */
  onCalibrate?(kept: Tensor, weight: Tensor, gradient: () => Tensor): void
  /** Without passes a statistic is ready from the start. */
}

/** What a score may look at beside the weight. */
export interface Seen {
  /** The layer, and the name of its weight there; null where a weight is scored by itself. */
  readonly module: Module | null
  readonly parameter: string
  /** The mask so far; null: nothing has fallen. */
  readonly mask: Tensor | null
  /** What was observed. @throws EspalierError STATE where nothing was */
  of(statistic: Statistic): Tensor
  /** Batches observed since the statistics were last reset. */
  readonly batches: number
}
