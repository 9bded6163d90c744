import { EspalierError, wholeNumber } from '../../native/index.js'
import { type Pair, pairOf } from '../../nn/layers/pair.js'
import { add, conv2d, div, floor, mul, reshape } from '../../ops/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import { accumulate } from '../integer.js'
import { QuantTensor } from '../quantTensor.js'
import { codesOf } from '../range.js'
import { SummingLayer } from './unitWeights.js'

export interface TruncAvgPool2dOptions {
  /** Steps between windows. Default: the window's size. */
  stride?: Pair
  /** Width of the codes it gives, 1 to 8 bits. Default 8. */
  bits?: number
  /** Give a `QuantTensor` instead of a plain tensor with the same values. Default false. */
  returnQuantTensor?: boolean
}

/**
 * The mean of each window in integers: codes are added up, and of the sum's bits the low ones are cut off
 * until `bits` are left: code = ⌊sum / 2^t⌋. Its value is code · scale · 2^t / window, the mean rounded
 * down to a grid. [n, c, h, w] → [n, c, h', w'], the input quantised with one scale. The sum is an
 * accumulator that `quant.certify` bounds.
 *
 * t is the width that the sums of all inputs in range need, less `bits`, and at least 0. Codes are those of
 * Brevitas' `TruncAvgPool2d`, whose width falls a bit short for some signed inputs. Where the window has 2^t
 * elements so are the values; with others Brevitas leaves the scale as it is, and values are not means.
 *
 * @example
 * ```ts
 * import { qnn, tensor } from 'espalier'
 * const quantise = new qnn.QuantIdentity({ bits: 4, signed: false, threshold: 15 })
 * const pool = new qnn.TruncAvgPool2d(2, { bits: 4 })
 * pool.forward(quantise.forward(tensor([[[[1, 2], [4, 8]]]]))).item() // ⌊15 / 4⌋ = 3
 * ```
 */
export class TruncAvgPool2d extends SummingLayer {
  readonly kernelSize: readonly [number, number]
  readonly stride: readonly [number, number]
  readonly bits: number
  readonly returnQuantTensor: boolean

  constructor(kernelSize: Pair, { stride, bits = 8, returnQuantTensor = false }: TruncAvgPool2dOptions = {}) {
    const size = pairOf('TruncAvgPool2d: kernelSize', kernelSize, 1)
    super([1, 1, ...size])
    wholeNumber('TruncAvgPool2d: bits', bits, 1, 8)
    this.kernelSize = size
    this.stride = pairOf('TruncAvgPool2d: stride', stride ?? size, 1)
    this.bits = bits
    this.returnQuantTensor = returnQuantTensor
  }

  override forward(x: Tensor): Tensor {
    const input = x.quantisation
    if (input === null) throw new EspalierError('STATE', 'TruncAvgPool2d: its input is not quantised; put a QuantIdentity or QuantReLU in front')
    const sums = accumulate(this, x, (values, weight) => this.sums(values, weight))
    const cut = 2 ** this.shift(input)
    // Half a step of the sum up, so that what rounding in floats took from a whole number is no step down.
    const codes = floor(add(div(sums, mul(input.scale, cut)), 0.5 / cut))
    const window = this.ones.size
    const scale = mul(input.scale, cut / window)
    const y = mul(codes, scale)
    y.quantisation = { scale, min: Math.floor((window * input.min) / cut), max: Math.floor((window * input.max) / cut) }
    return this.returnQuantTensor ? new QuantTensor(y, this.training) : y
  }

  /** Σ of each window, each channel by itself. */
  private sums(x: Tensor, weight: Tensor): Tensor {
    const [n, c, h, w] = x.shape
    const y = conv2d(reshape(x, [n * c, 1, h, w]), weight, null, { stride: this.stride as [number, number] })
    return reshape(y, [n, c, y.shape[2], y.shape[3]])
  }

  /** How many low bits of the sum are cut off. */
  private shift({ min, max }: Quantisation): number {
    const window = this.ones.size
    return Math.max(0, codesOf({ min: window * min, max: window * max }).bits - this.bits)
  }

  override extraRepr(): string {
    return `[${this.kernelSize.join(', ')}], bits=${this.bits}`
  }
}
