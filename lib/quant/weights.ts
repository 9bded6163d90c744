import { noGrad } from '../autograd/index.js'
import { describe, ensure, wholeNumber } from '../native/index.js'
import { type Module, stages, type WeightTransform } from '../nn/index.js'
import { smallestThreshold } from '../ops/index.js'
import { hostValues, type Tensor } from '../tensor/index.js'
import { integer, bipolar as signs, ternary as threeCodes } from './codes.js'
import { Quantiser } from './quantiser.js'
import type { IntegerRange } from './range.js'
import { bipolar, down, halfEven, type Rounding, ternary, towardZero } from './roundings.js'
import { givenScale } from './scales/given.js'
import { LearnedScale } from './scales/learned.js'
import { statisticScale } from './scales/ofStatistic.js'
import type { Scale } from './scales/scale.js'
import { largest, meanMagnitude } from './statistics.js'

export interface WeightQuantiserOptions {
  /** Bit width of a weight's code, 1 to 8; 1 bit is −1 or 1, the sign. Default 8. */
  weightBits?: number
  /** Symmetric codes. Default true. */
  weightNarrow?: boolean
  /** A scale for each output channel instead of one for the tensor. Default false. */
  perChannel?: boolean
  /** Scales that are powers of two, so that scaling is a shift. Default false. */
  powerOfTwo?: boolean
  /**
   * Where the scale comes from: in each pass from the largest |w|, or from the mean |w|; a parameter that
   * starts from the largest; or a number. Default: the largest, of signs and ternary codes the mean.
   */
  weightScale?: 'largest' | 'mean' | 'learned' | number
  /**
   * How weights come to codes. `ternary`, of 2 bits: the sign where |w| lies above half the scale, else 0.
   * Default: half to even, of 1 bit the sign.
   */
  weightRounding?: 'half-even' | 'toward-zero' | 'floor' | 'ternary'
  /** A quantiser in place of what the other options describe. */
  quantiser?: Quantiser
}

const roundings: Record<NonNullable<WeightQuantiserOptions['weightRounding']>, Rounding> = {
  'half-even': halfEven,
  'toward-zero': towardZero,
  floor: down,
  ternary: ternary(),
}

const keepingZeros = new Set<Rounding>([halfEven, towardZero, down])

/**
 * The quantiser on a weight's way. By default its scale is max |w| / largest code, found anew in each
 * forward pass, with the gradient through the maximum; rounding and clamp are straight-through. With
 * `powerOfTwo` the maximum is brought up to a power of two first. The defaults of Brevitas'
 * `Int8WeightPerTensorFloat`.
 */
export class WeightQuantiser implements WeightTransform {
  readonly kind = 'quantiser'
  readonly stage = stages.quantiser
  readonly quantiser: Quantiser

  /** @param weight [out, …]: what a learned scale starts from */
  constructor(options: WeightQuantiserOptions, weight?: Tensor) {
    this.quantiser = options.quantiser ?? quantiserOf(options, weight)
  }

  /** Rounding keeps zeros, but that to signs; a zero point may lie between codes. */
  get keepsZeros(): boolean {
    const { rounding, zeroPoint } = this.quantiser
    return zeroPoint === null && keepingZeros.has(rounding)
  }

  /** Its integers. */
  get range(): IntegerRange {
    return this.quantiser.range
  }

  /** What belongs into the field `weightQuantiser` of the layer: the quantiser, if it learns or remembers something. */
  get state(): Quantiser | null {
    const { quantiser } = this
    return quantiser.parameters().length + [...quantiser.namedBuffers()].length > 0 ? quantiser : null
  }

  /** By the quantiser in the layer's field, where there is one: a copy of the layer has a copy of it. */
  apply(weight: Tensor, layer?: Module): Tensor {
    const { weightQuantiser } = (layer ?? {}) as { weightQuantiser?: unknown }
    return (weightQuantiser instanceof Quantiser ? weightQuantiser : this.quantiser).forward(weight)
  }
}

function quantiserOf(options: WeightQuantiserOptions, weight?: Tensor): Quantiser {
  const { weightBits = 8, weightNarrow = true, weightRounding = 'half-even' } = options
  wholeNumber('weightBits', weightBits, 1, 8)
  ensure(
    weightRounding in roundings,
    'INVALID_ARGUMENT',
    () => `weightRounding is ${describe(weightRounding)}, expected one of ${Object.keys(roundings).join(', ')}`,
  )
  const three = weightRounding === 'ternary'
  ensure(!three || weightBits === 2, 'INVALID_ARGUMENT', () => `weightRounding 'ternary': weightBits is ${weightBits}, expected 2`)
  const sign = weightBits === 1
  const { weightScale = sign || three ? 'mean' : 'largest' } = options
  return new Quantiser({
    codes: sign ? signs : three ? threeCodes : integer({ bits: weightBits, signed: true, narrow: weightNarrow }),
    scale: scaleOf(weightScale, options, weight),
    rounding: sign ? bipolar : roundings[weightRounding],
    gradient: weightScale === 'learned' ? 'clamped' : 'straight-through',
  })
}

function scaleOf(
  from: NonNullable<WeightQuantiserOptions['weightScale']>,
  { perChannel = false, powerOfTwo = false }: WeightQuantiserOptions,
  weight?: Tensor,
): Scale {
  if (typeof from === 'number') return givenScale(from, { powerOfTwo })
  ensure(
    ['largest', 'mean', 'learned'].includes(from),
    'INVALID_ARGUMENT',
    () => `weightScale is ${describe(from)}, expected 'largest', 'mean', 'learned' or a number`,
  )
  const axis = perChannel ? 0 : null
  if (from !== 'learned') return statisticScale(from === 'mean' ? meanMagnitude : largest, { axis, powerOfTwo })
  ensure(weight !== undefined, 'INVALID_ARGUMENT', () => "weightScale 'learned': expected the weight that the scale starts from")
  const start = Array.from(hostValues(noGrad(() => largest(weight, axis)).storage), (one) => Math.max(one, smallestThreshold))
  return new LearnedScale(largest, { threshold: start, powerOfTwo, ...(perChannel ? { channels: weight.shape[0], axis: 0 } : {}) })
}
