import { wholeNumber } from '../../native/index.js'
import { requantise } from '../../ops/index.js'
import { full, type Tensor } from '../../tensor/index.js'
import { toCodes } from './codes.js'
import { Rescale } from './rescale.js'

/**
 * Sums to the codes of the next layer: clamp(round(m · sum), 0, max) with a learned multiplier m > 0 for each
 * channel, [n, channels, …] → the same. It is the activation function as well: what is below 0 becomes 0. See
 * `Codes` for `max` and the gradient.
 */
export class Requantise extends Rescale {
  readonly max: number
  /** What a code is worth: [1]. */
  declare one: Tensor

  constructor(channels: number, { max }: { max: number }) {
    super(channels)
    this.max = wholeNumber('max', max, 1, 255)
    this.registerBuffer('one', full([1], 1), { persistent: false })
  }

  override forward(sums: Tensor): Tensor {
    // (One kernel on the CPU; on a GPU its parts.)
    if (sums.device !== 'cpu') return toCodes(super.forward(sums), this)
    this.check(sums)
    const codes = requantise(sums, this.logMultiplier, { max: this.max })
    codes.quantisation = { scale: this.one, min: 0, max: this.max, quantiser: this }
    return codes
  }

  /** Such that a channel's standard deviation becomes six tenths of the range of codes. */
  override start(deviations: Float64Array): void {
    this.multipliers = deviations.map((deviation) => (0.6 * this.max) / deviation)
  }

  override extraRepr(): string {
    return `${super.extraRepr()}, 0…${this.max}`
  }
}
