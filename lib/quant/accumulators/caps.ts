import { EspalierError, wholeNumber } from '../../native/index.js'

/** A register and what is multiplied into it. */
export interface AccumulatorOptions {
  /** Width P of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** Width N of an input code, 1 to 8 bits. */
  inputBits: number
  /** Whether input codes are two's complement. */
  inputSigned: boolean
  /** Largest magnitude of an integer the sum starts from, taken off the register. Default 0. */
  bias?: number
}

/** What is left of the largest sum, 2^(P−1) − 1, beside a bias. */
function room({ accumulatorBits, inputBits, bias = 0 }: AccumulatorOptions): number {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  wholeNumber('inputBits', inputBits, 1, 8)
  wholeNumber('bias', bias)
  const left = 2 ** (accumulatorBits - 1) - 1 - bias
  if (left > 0) return left
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `accumulatorBits is ${accumulatorBits}: no room beside a bias of up to ${bias}, expected at least ${Math.ceil(Math.log2(bias + 2)) + 1}`,
  )
}

/**
 * The largest L1 norm of a neuron's integer weights at which no input can overflow the accumulator,
 * whatever the signs: (2^(P−1) − 1) · 2^(s−N), s = 1 for signed inputs, else 0. Colbert et al. 2023,
 * "A2Q: Accumulator-aware quantization with guaranteed overflow avoidance".
 */
export const a2qCap = (options: AccumulatorOptions): number => room(options) * 2 ** ((options.inputSigned ? 1 : 0) - options.inputBits)

/**
 * The largest L1 norm where positive and negative weights hold at most half of it each, as those do
 * that are centred before they are rounded towards zero: (2^P − 2) / (2^N − 1), for inputs of either
 * sign. Colbert et al. 2024, "A2Q+: Improving accumulator-aware weight quantization".
 */
export const a2qPlusCap = (options: AccumulatorOptions): number => (2 * room(options)) / (2 ** options.inputBits - 1)
