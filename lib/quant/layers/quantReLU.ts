import { Module } from '../../nn/index.js'
import { relu } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { type ActivationOptions, ActivationQuantiser } from '../activations.js'

/**
 * max(x, 0), then unsigned codes 0 … 2^bits − 1. Input and output have the same shape, any.
 * Semantics of Brevitas' `QuantReLU`; see `QuantIdentity` for how the scale is found.
 */
export class QuantReLU extends Module {
  quantiser: ActivationQuantiser

  constructor(options: ActivationOptions = {}) {
    super()
    this.quantiser = new ActivationQuantiser(false, options)
  }

  override forward(x: Tensor): Tensor {
    return this.quantiser.forward(relu(x))
  }

  override extraRepr(): string {
    return `bits=${this.quantiser.bits}, codes=0…${this.quantiser.range.max}`
  }
}
