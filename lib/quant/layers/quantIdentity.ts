import { Module } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import { type ActivationOptions, ActivationQuantiser } from '../activations.js'

/**
 * Quantises what passes through it: the first layer of a quantised network, or between two layers.
 * Signed codes by default. Input and output have the same shape, any; float32 or float64.
 *
 * The threshold follows the batches for the first `collectSteps` training steps and is learned from
 * then on. Semantics of Brevitas' `QuantIdentity`.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const quantise = new qnn.QuantIdentity({ bits: 3 })
 * String(quantise.forward(tensor([-1, -0.3, 0.1, 0.9]))) // multiples of 1/4 in −1 … 0.75
 * ```
 */
export class QuantIdentity extends Module {
  quantiser: ActivationQuantiser

  constructor({ signed = true, ...options }: ActivationOptions & { signed?: boolean } = {}) {
    super()
    this.quantiser = new ActivationQuantiser(signed, options)
  }

  override forward(x: Tensor): Tensor {
    return this.quantiser.forward(x)
  }

  override extraRepr(): string {
    const { min, max } = this.quantiser.range
    return `bits=${this.quantiser.bits}, codes=${min}…${max}`
  }
}
