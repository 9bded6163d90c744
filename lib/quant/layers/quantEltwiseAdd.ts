import { ensure } from '../../native/index.js'
import { add, concat, slice } from '../../ops/index.js'
import { formatShape, sameShape, type Tensor } from '../../tensor/index.js'
import { type ActivationOptions, ActivationQuantiser } from '../activations.js'
import { QuantTensor } from '../quantTensor.js'
import { SummingLayer } from './unitWeights.js'

export interface QuantEltwiseAddOptions extends Omit<ActivationOptions, 'channels'> {
  /** Whether the codes of the operands are two's complement. Default true. */
  signed?: boolean
  /** Give a `QuantTensor` instead of a plain tensor with the same values. Default false. */
  returnQuantTensor?: boolean
}

/**
 * The sum of two tensors of one shape, a residual connection, in integers: both are quantised with one
 * scale that they share, so that codes can be added, and the sum has one bit more. A quantiser behind it
 * (`QuantReLU`, `QuantIdentity`) brings it back to the width of the next layer. The sum is an accumulator
 * that `quant.certify` bounds. Brevitas' `QuantEltwiseAdd`, whose output quantiser is a layer of its own here.
 *
 * In the training steps in which the threshold follows the batches it follows both operands together.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const residual = new qnn.QuantEltwiseAdd({ bits: 4, threshold: 8 })
 * residual.forward(tensor([[1.2, -3]]), tensor([[2.2, 20]])).toArray() // [[3, 4]]: 1 + 2, −3 + 7
 * ```
 */
export class QuantEltwiseAdd extends SummingLayer {
  /** Of both operands. */
  quantiser: ActivationQuantiser
  readonly returnQuantTensor: boolean

  constructor({ signed = true, returnQuantTensor = false, ...options }: QuantEltwiseAddOptions = {}) {
    super([1, 2])
    this.quantiser = new ActivationQuantiser(signed, options)
    this.returnQuantTensor = returnQuantTensor
  }

  override forward(a: Tensor, b: Tensor): Tensor {
    ensure(
      sameShape(a.shape, b.shape),
      'SHAPE_MISMATCH',
      () => `QuantEltwiseAdd: the operands have shapes ${formatShape(a.shape)} and ${formatShape(b.shape)}, expected one shape`,
    )
    const [left, right] = this.operands(a, b)
    const input = left.quantisation as NonNullable<Tensor['quantisation']>
    this.inputQuantisation = { ...input, scale: (input.plain ?? input.scale.detach()).keep() }
    const y = add(left, right)
    y.quantisation = { scale: input.scale, min: 2 * input.min, max: 2 * input.max }
    return this.returnQuantTensor ? new QuantTensor(y, this.training) : y
  }

  /** Both on one grid. */
  private operands(a: Tensor, b: Tensor): [Tensor, Tensor] {
    if (!this.quantiser.scale.follows) return [this.quantiser.forward(a), this.quantiser.forward(b)]
    const both = this.quantiser.forward(concat([a, b], 0))
    const n = a.shape[0]
    return [slice(both, { dim: 0, start: 0, end: n }), slice(both, { dim: 0, start: n, end: 2 * n })]
  }

  override extraRepr(): string {
    return this.quantiser.extraRepr()
  }
}
