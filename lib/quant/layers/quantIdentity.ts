import { Module } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import { type ActivationOptions, ActivationQuantiser } from '../activations.js'
import type { Quantiser } from '../quantiser.js'

/**
 * Quantises what passes through it: the first layer of a quantised network, or between two layers.
 * Signed codes by default. Input and output have the same shape, any; float32 or float64.
 *
 * The threshold follows the batches for the first `collectSteps` training steps and is learned from
 * then on. Semantics of Brevitas' `QuantIdentity`. A `quantiser` takes the place of what the options
 * describe.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const quantise = new qnn.QuantIdentity({ bits: 3 })
 * String(quantise.forward(tensor([-1, -0.3, 0.1, 0.9]))) // multiples of 1/4 in −1 … 0.75
 * ```
 */
export class QuantIdentity<Q extends Quantiser = ActivationQuantiser> extends Module {
  quantiser: Q

  constructor(options: ActivationOptions & { signed?: boolean } & { quantiser?: Q } = {}) {
    super()
    const { quantiser, signed = !options.asymmetric, ...rest } = options
    this.quantiser = quantiser ?? (new ActivationQuantiser(signed, rest) as Quantiser as Q)
  }

  override forward(x: Tensor): Tensor {
    return this.quantiser.forward(x)
  }

  override extraRepr(): string {
    return this.quantiser.extraRepr()
  }
}
