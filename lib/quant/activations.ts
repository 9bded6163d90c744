import { ensure, wholeNumber } from '../native/index.js'
import { formatShape, type Tensor } from '../tensor/index.js'
import { integer, bipolar as signs } from './codes.js'
import { Quantiser } from './quantiser.js'
import { bipolar, halfEven } from './roundings.js'
import { givenScale } from './scales/given.js'
import { LearnedScale, type LearnedScaleOptions } from './scales/learned.js'
import { percentile as percentileOf } from './statistics.js'
import { interval, LearnedZeroPoint } from './zeroPoint.js'

export interface ActivationOptions extends Pick<LearnedScaleOptions, 'collectSteps' | 'momentum' | 'powerOfTwo'> {
  /** Bit width of the codes, 1 to 8; 1 signed bit is −1 or 1, the sign. Default 8. */
  bits?: number
  /** Leave out one end of the range. Default false. */
  narrow?: boolean
  /** Percentile of |x| taken as the threshold of a batch. Default 99.999. */
  percentile?: number
  /** A threshold for each of so many channels (dimension 1) instead of one. Default: one. */
  channels?: number
  /** A threshold > 0 that is given: no step follows the batches. */
  threshold?: number
  /**
   * Whether the threshold is learned; false for one that is given and stays: the range of a network's inputs,
   * which then need no gradient. Default true.
   */
  learned?: boolean
  /**
   * Let the codes begin where the values do: a zero point that is found, then learned, as the threshold is,
   * and the threshold is the distance from the low percentile of x to the high one. Default false.
   */
  asymmetric?: boolean
}

/** Turns activations into codes of a fixed width: a scale that is found, then learned, per tensor or per channel. */
export class ActivationQuantiser extends Quantiser {
  private readonly channels: number | undefined

  /** @param rectified quantise max(x, 0): the codes are unsigned then */
  constructor(
    signed: boolean,
    { bits = 8, narrow = false, percentile = 99.999, asymmetric = false, learned = true, ...options }: ActivationOptions,
    { rectified = false }: { rectified?: boolean } = {},
  ) {
    wholeNumber('bits', bits, 1, 8)
    const sign = bits === 1 && signed
    ensure(
      !asymmetric || (options.channels === undefined && options.threshold === undefined && !sign),
      'INVALID_ARGUMENT',
      () => 'asymmetric: expected one scale for all, found from the batches, and more codes than two signs',
    )
    const codes = sign ? signs : integer({ bits, signed, narrow })
    const { threshold, channels, powerOfTwo = false } = options
    ensure(learned || (threshold !== undefined && channels === undefined), 'INVALID_ARGUMENT', () => 'learned is false: expected one threshold')
    super({
      codes,
      scale: learned
        ? new LearnedScale(asymmetric ? interval(100 - percentile, percentile) : percentileOf(percentile), options)
        : givenScale((threshold as number) / codes.top(powerOfTwo), { powerOfTwo }),
      zeroPoint: asymmetric ? new LearnedZeroPoint({ low: 100 - percentile, collectSteps: options.collectSteps, momentum: options.momentum }) : null,
      rounding: sign ? bipolar : halfEven,
      gradient: rectified ? 'rectified' : 'clamped',
    })
    this.channels = channels
  }

  /** The learned threshold. An error where it is given and not learned. */
  get threshold(): LearnedScale {
    ensure(this.scale instanceof LearnedScale, 'STATE', () => 'quantiser: its scale is given, there is no learned threshold')
    return this.scale
  }

  override forward(x: Tensor): Tensor {
    const { channels } = this
    ensure(x.size > 0 || !this.training, 'SHAPE_MISMATCH', () => 'quantiser: an empty batch has no range to learn from')
    ensure(
      channels === undefined || x.shape[1] === channels,
      'SHAPE_MISMATCH',
      () => `quantiser: the input has shape ${formatShape(x.shape)}, expected [n, ${channels}, …]`,
    )
    return super.forward(x)
  }
}
