import { wholeNumber } from '../../native/index.js'
import { Module } from '../../nn/index.js'
import { fakeQuant, mul } from '../../ops/index.js'
import { full, type Tensor } from '../../tensor/index.js'

/**
 * Codes of values: clamp(round(x · max), 0, max), so that 0 … 1 become the whole numbers 0 … max; ties to even.
 * What stands in front of the first layer of whole numbers. `max`, 1 to 255, need not be a power of two less one:
 * 0 … 5 leave an accumulator more room than 0 … 7. The gradient passes where a value rounds to one of the codes.
 */
export class Codes extends Module {
  readonly max: number
  /** What a code is worth: [1]. */
  declare one: Tensor

  constructor({ max }: { max: number }) {
    super()
    this.max = wholeNumber('max', max, 1, 255)
    this.registerBuffer('one', full([1], 1), { persistent: false })
  }

  override forward(x: Tensor): Tensor {
    return toCodes(mul(x, this.max), this)
  }

  override extraRepr(): string {
    return `0…${this.max}`
  }
}

/** The nearest codes of values in units of a code, kept in range by `quantiser`. */
export function toCodes(x: Tensor, quantiser: Module & { readonly max: number; readonly one: Tensor }): Tensor {
  const { max, one } = quantiser
  const codes = fakeQuant(x, one, { min: 0, max, gradient: 'clamped' })
  codes.quantisation = { scale: one, min: 0, max, quantiser }
  return codes
}
