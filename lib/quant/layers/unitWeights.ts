import { Module } from '../../nn/index.js'
import { besides, full, ones, type Quantisation, type Shape, type Tensor } from '../../tensor/index.js'
import type { AccumulatingLayer } from '../integer.js'

/**
 * A layer that adds codes up as they are: an accumulating layer whose weights are 1, so that what is proved
 * and executed of the others is of it too.
 */
export abstract class SummingLayer extends Module implements AccumulatingLayer {
  inputQuantisation: Quantisation | null = null
  readonly biasRange = null
  declare ones: Tensor

  /** @param shape [1, …]: what one sum adds up */
  constructor(shape: Shape) {
    super()
    this.registerBuffer('ones', ones(shape), { persistent: false })
  }

  /** Its only weight: a neuron of ones. */
  override effective(name: string): Tensor {
    if (name !== 'weight') return super.effective(name)
    const weight = this.ones.detach()
    weight.quantisation = { scale: besides(weight, () => full([], 1, { dtype: weight.dtype })), min: 0, max: 1 }
    return weight
  }
}
