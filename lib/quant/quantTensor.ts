import { noGrad } from '../autograd/index.js'
import { EspalierError } from '../native/index.js'
import { add, div, round } from '../ops/index.js'
import { converted, type Quantisation, Tensor } from '../tensor/index.js'
import { codesOf } from './range.js'

/**
 * A tensor together with the integers behind it: value = (code − zeroPoint) · scale. It is a tensor like any
 * other, on the tape where its value is, and passes through operations and layers as one; an operation
 * gives a plain tensor. Layers give it with `returnQuantTensor`. Brevitas' `QuantTensor`.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const identity = new qnn.QuantIdentity({ bits: 3, threshold: 1, returnQuantTensor: true })
 * const y = identity.quantise(tensor([-1, -0.3, 0.1, 0.9]))
 * y.int().toArray() // [−4, −1, 0, 3]
 * y.scale.item() // 0.25
 * y.bitWidth // 3
 * y.signed // true
 * ```
 */
export class QuantTensor extends Tensor {
  /** The same values as a plain tensor. */
  readonly value: Tensor
  override readonly quantisation: Quantisation

  /**
   * @param value what a quantiser gave, or a selection of that
   * @param training whether it was made in training
   */
  constructor(
    value: Tensor,
    readonly training: boolean,
  ) {
    super(value.storage, value.shape, value.dtype, value.requiresGrad)
    if (value.quantisation === null) throw new EspalierError('STATE', 'QuantTensor: the tensor has no integers behind it; put it through a quantiser')
    this.value = value
    this.origin = value.origin
    this.quantisation = value.quantisation
  }

  /** One element, or one a channel, shaped to broadcast over the values. */
  get scale(): Tensor {
    return this.quantisation.scale
  }

  /** The code of the value 0. */
  get zeroPoint(): number {
    return this.quantisation.zeroPoint ?? 0
  }

  /** Width of a code, bits. */
  get bitWidth(): number {
    return this.quantisation.bits ?? codesOf(this.quantisation).bits
  }

  /** Whether codes are two's complement; else they start at 0. */
  get signed(): boolean {
    return this.quantisation.min + this.zeroPoint < 0
  }

  /** The codes, int32. */
  int(): Tensor {
    const { shape, device } = this
    const codes = noGrad(() => add(round(div(this.value, this.scale)), this.zeroPoint))
    return new Tensor(converted(codes.storage, 'int32', device), shape, 'int32')
  }
}
