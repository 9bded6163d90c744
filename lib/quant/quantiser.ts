import { gradEnabled } from '../autograd/index.js'
import { Module } from '../nn/index.js'
import { relu } from '../ops/index.js'
import type { Quantisation, Tensor } from '../tensor/index.js'
import type { Codes } from './codes.js'
import type { IntegerRange } from './range.js'
import { type Gradient, halfEven, type Rounding } from './roundings.js'
import type { Scale } from './scales/scale.js'
import type { ZeroPoint } from './zeroPoint.js'

/** What a quantiser is made of. */
export interface QuantiserParts {
  /** The integers: `quant.codes`. */
  codes: Codes
  /** Where the scale comes from: `quant.scales`. */
  scale: Scale
  /** The code of 0, where that is not 0. Default: none. */
  zeroPoint?: ZeroPoint | null
  /** How values come to codes: `quant.roundings`. Default: half to even. */
  rounding?: Rounding
  /** Which values receive a gradient. Default 'clamped'. */
  gradient?: Gradient
}

/**
 * Brings values to a grid of integers times a scale: codes × scale × zero point × rounding × gradient, each
 * a part of its own. Output and input have the same shape; the output carries `quantisation`.
 *
 * @example
 * ```ts
 * import { qnn, quant, tensor } from 'espalier'
 * const quantiser = new quant.Quantiser({
 *   codes: quant.codes.integer({ bits: 3, signed: true }),
 *   scale: quant.scales.given(0.25),
 *   rounding: quant.roundings.towardZero,
 * })
 * quantiser.forward(tensor([0.7, -0.3, 2])).toArray() // [0.5, −0.25, 0.75]
 * new qnn.QuantIdentity({ quantiser }) // between layers
 * new qnn.QuantLinear(8, 4, { quantiser: quantiser.clone() }) // of its weights
 * ```
 */
export class Quantiser extends Module {
  readonly codes: Codes
  scale: Scale
  zeroPoint: ZeroPoint | null
  readonly rounding: Rounding
  readonly gradient: Gradient

  constructor({ codes, scale, zeroPoint = null, rounding = halfEven, gradient = 'clamped' }: QuantiserParts) {
    super()
    this.codes = codes
    this.scale = scale
    this.zeroPoint = zeroPoint
    this.rounding = rounding
    this.gradient = gradient
  }

  override forward(x: Tensor): Tensor {
    const { codes, scale: source, zeroPoint, rounding } = this
    const top = codes.top(source.powerOfTwo)
    // A statistic is one of the rectified values.
    const rectified = this.gradient === 'rectified' && source.follows
    const gradient = rectified ? 'clamped' : this.gradient
    const values = rectified ? relu(x) : x
    // Without gradients by the plain operation: that is what a trace is to show.
    const atOnce = gradEnabled() && rounding === halfEven && zeroPoint === null ? source.quantise?.(values, top, codes, gradient) : null
    if (atOnce) {
      atOnce.y.quantisation = new Mark(this, atOnce.plain, atOnce.scale)
      return atOnce.y
    }
    const scale = source.of(values, top)
    const zero = zeroPoint === null ? null : zeroPoint.of(values, scale, codes)
    const y = rounding(values, scale, codes, gradient, zero)
    y.quantisation = new Mark(this, scale.detach(), () => scale, zero?.item())
    return y
  }

  /** The codes, as integers around the value 0; with a zero point it is the widest such range. */
  get range(): IntegerRange {
    const { min, max } = this.codes
    return this.zeroPoint === null ? { min, max } : { min: min - max, max: max - min }
  }

  get bits(): number {
    return this.codes.bits
  }

  override extraRepr(): string {
    return `bits=${this.bits}, codes=${this.codes.min}…${this.codes.max}`
  }
}

/** What a quantiser's result stands for. Codes are counted from the zero point. */
class Mark implements Quantisation {
  readonly min: number
  readonly max: number
  readonly bits: number
  // Not to be copied along with the rest: they lead to the tape.
  readonly #find: () => Tensor
  #found: Tensor | null = null

  constructor(
    readonly quantiser: Quantiser,
    readonly plain: Tensor,
    find: () => Tensor,
    readonly zeroPoint = 0,
  ) {
    this.#find = find
    const { min, max, bits } = quantiser.codes
    this.min = min - zeroPoint
    this.max = max - zeroPoint
    this.bits = bits
  }

  /** On the tape from when it is first asked for: few ask. */
  get scale(): Tensor {
    this.#found ??= this.#find()
    return this.#found
  }
}
