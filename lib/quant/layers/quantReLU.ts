import { Module } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import { type ActivationOptions, ActivationQuantiser } from '../activations.js'

/**
 * max(x, 0), then unsigned codes 0 … 2^bits − 1. Input and output have the same shape, any.
 * Semantics of Brevitas' `QuantReLU`; see `QuantIdentity` for how the scale is found.
 */
export class QuantReLU extends Module {
  quantiser: ActivationQuantiser

  constructor(options: Omit<ActivationOptions, 'asymmetric'> = {}) {
    super()
    this.quantiser = new ActivationQuantiser(false, options, { rectified: true })
  }

  override forward(x: Tensor): Tensor {
    return this.quantiser.forward(x)
  }

  override extraRepr(): string {
    return this.quantiser.extraRepr()
  }
}
