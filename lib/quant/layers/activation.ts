import { Module } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { ActivationOptions } from '../activations.js'
import type { Quantiser } from '../quantiser.js'
import { QuantTensor } from '../quantTensor.js'

/** What the layers that quantise activations share. */
export interface ActivationLayerOptions extends ActivationOptions {
  /** Give a `QuantTensor` instead of a plain tensor with the same values. Default false. */
  returnQuantTensor?: boolean
}

/** A layer that ends in a quantiser. */
export abstract class ActivationLayer<Q extends Quantiser> extends Module {
  quantiser: Q
  readonly returnQuantTensor: boolean

  constructor(quantiser: Q, returnQuantTensor = false) {
    super()
    this.quantiser = quantiser
    this.returnQuantTensor = returnQuantTensor
  }

  /** What it gives for x, with the integers behind it. */
  quantise(x: Tensor): QuantTensor {
    return new QuantTensor(this.values(x), this.training)
  }

  /** What it gives for x. */
  protected values(x: Tensor): Tensor {
    return this.quantiser.forward(x)
  }

  override forward(x: Tensor): Tensor {
    return this.returnQuantTensor ? this.quantise(x) : this.values(x)
  }

  override extraRepr(): string {
    return this.quantiser.extraRepr()
  }
}
