import type { Tensor } from '../tensor/index.js'
import type { Module } from './module.js'

/**
 * One station on a weight's way from the parameter that is learned (latent) to the tensor the forward
 * pass uses (effective): latent → mask → quantiser → effective.
 *
 * `module.addTransform('weight', transform)` puts it there, in the order of stages; layers read
 * `module.effective('weight')` in each forward pass, so that nothing stale is ever used and gradients
 * flow back through `apply` to the latent parameter. A transform that learns or remembers something is
 * itself a module in a field of the layer, so that its state is saved, copied and trained; one that is
 * no module and is not shared has a `clone` method.
 *
 * @example
 * ```ts
 * import { nn, type Tensor } from 'espalier'
 * class Halve implements nn.WeightTransform {
 *   readonly kind = 'quantiser'
 *   readonly stage = nn.stages.quantiser
 *   apply(weight: Tensor) {
 *     return weight.mul(0.5)
 *   }
 * }
 * const layer = new nn.Linear(3, 2)
 * const handle = layer.addTransform('weight', new Halve())
 * layer.effective('weight') // half of layer.weight
 * handle.remove()
 * ```
 */
export interface WeightTransform {
  /** What it does, in a word: 'mask', 'quantiser', … */
  readonly kind: string
  /** Its place on the way: lower stages come first. See `stages`. */
  readonly stage: number
  /** Whether what is 0 before it is 0 behind it, so that what a mask left out still need not be multiplied. Default: not. */
  readonly keepsZeros?: boolean
  /** The weight after it: same shape and dtype, recorded on the tape, the operand unchanged. */
  apply(weight: Tensor, module: Module): Tensor
}

/** The usual places on a weight's way. A mask always stands before a quantiser: pruned weights become the code of 0. */
export const stages = { mask: 100, quantiser: 200 } as const
