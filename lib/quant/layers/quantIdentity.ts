import { ActivationQuantiser } from '../activations.js'
import type { Quantiser } from '../quantiser.js'
import { ActivationLayer, type ActivationLayerOptions } from './activation.js'

export interface QuantIdentityOptions<Q extends Quantiser> extends ActivationLayerOptions {
  /** Two's complement codes, or codes from 0. Default: true, but false with `asymmetric`. */
  signed?: boolean
  /** A quantiser in place of what the other options describe. */
  quantiser?: Q
}

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
export class QuantIdentity<Q extends Quantiser = ActivationQuantiser> extends ActivationLayer<Q> {
  constructor({ returnQuantTensor, quantiser, ...options }: QuantIdentityOptions<Q> = {}) {
    const { signed = !options.asymmetric, ...rest } = options
    super(quantiser ?? (new ActivationQuantiser(signed, rest) as Quantiser as Q), returnQuantTensor)
  }
}
