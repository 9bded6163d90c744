import { ActivationQuantiser } from '../activations.js'
import { ActivationLayer, type ActivationLayerOptions } from './activation.js'

/**
 * max(x, 0), then unsigned codes 0 … 2^bits − 1. Input and output have the same shape, any.
 * Semantics of Brevitas' `QuantReLU`; see `QuantIdentity` for how the scale is found.
 */
export class QuantReLU extends ActivationLayer<ActivationQuantiser> {
  constructor({ returnQuantTensor, ...options }: Omit<ActivationLayerOptions, 'asymmetric'> = {}) {
    super(new ActivationQuantiser(false, options, { rectified: true }), returnQuantTensor)
  }
}
