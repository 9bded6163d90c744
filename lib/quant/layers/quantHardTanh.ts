import { realNumber } from '../../native/index.js'
import { clamp } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { ActivationQuantiser } from '../activations.js'
import { ActivationLayer, type ActivationLayerOptions } from './activation.js'

export interface QuantHardTanhOptions extends Omit<ActivationLayerOptions, 'asymmetric' | 'collectSteps' | 'percentile' | 'momentum' | 'channels'> {
  /** What x is cut to. Default −1 and 1. */
  min?: number
  max?: number
}

/**
 * x cut to [min, max], then codes: signed, or unsigned where min ≥ 0. No step follows the batches: the
 * threshold starts at max(|min|, |max|), or at `threshold`, and is learned. Input and output have the
 * same shape, any. Semantics of Brevitas' `QuantHardTanh`.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const act = new qnn.QuantHardTanh({ bits: 3 })
 * act.forward(tensor([-3, -0.3, 0.1, 0.6])).toArray() // [−1, −0.25, 0, 0.5]
 * ```
 */
export class QuantHardTanh extends ActivationLayer<ActivationQuantiser> {
  readonly min: number
  readonly max: number

  constructor({ returnQuantTensor, min = -1, max = 1, threshold, ...options }: QuantHardTanhOptions = {}) {
    realNumber('QuantHardTanh: min', min)
    realNumber('QuantHardTanh: max', max, min)
    super(new ActivationQuantiser(min < 0, { ...options, threshold: threshold ?? Math.max(Math.abs(min), Math.abs(max)) }), returnQuantTensor)
    this.min = min
    this.max = max
  }

  protected override values(x: Tensor): Tensor {
    return this.quantiser.forward(clamp(x, this.min, this.max))
  }
}
