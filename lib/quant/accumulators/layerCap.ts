import { EspalierError, wholeNumber } from '../../native/index.js'
import { fanInMask } from '../../nn/index.js'
import { reshape } from '../../ops/index.js'
import type { Tensor } from '../../tensor/index.js'
import { bitsFor, type IntegerRange, integerRange } from '../range.js'

/** Widths of an accumulator and of the codes multiplied into it, bits. */
export interface LayerCapOptions {
  accumulatorBits: number
  weightBits: number
  inputBits: number
}

/**
 * Concrete ML's cap Ω = ⌊(2^P − 1) / ((2^w − 1)(2^a − 1))⌋ on the inputs of a neuron; 0 where not even
 * one fits. It is *unsafe* for unsigned inputs and full-range weights: `fanInWidth` says what a
 * neuron of Ω inputs needs at worst, `safeFanIn` how many inputs are safe.
 */
export function layerCap({ accumulatorBits, weightBits, inputBits }: LayerCapOptions): number {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  wholeNumber('weightBits', weightBits, 1, 32)
  wholeNumber('inputBits', inputBits, 1, 32)
  return Math.floor((2 ** accumulatorBits - 1) / ((2 ** weightBits - 1) * (2 ** inputBits - 1)))
}

/** What a neuron's weights and inputs may be. */
export interface NeuronCodes {
  weight: IntegerRange
  input: IntegerRange
  /** Integers the sum may start from, or their largest magnitude. Default 0. */
  bias?: number | IntegerRange
}

/** The integers a sum may start from. */
const startOf = ({ bias = 0 }: NeuronCodes): IntegerRange => (typeof bias === 'number' ? { min: -bias, max: bias } : bias)

/** The largest and the smallest product of a weight and an input. */
function productRange({ weight, input }: NeuronCodes): IntegerRange {
  return {
    min: Math.min(weight.min * input.max, weight.max * input.min),
    max: Math.max(weight.max * input.max, weight.min * input.min),
  }
}

/** The width that any neuron of so many inputs fits, and some neuron needs. */
export function fanInWidth(fanIn: number, codes: NeuronCodes): number {
  wholeNumber('fanIn', fanIn)
  const { min, max } = productRange(codes)
  const start = startOf(codes)
  return bitsFor(fanIn * min + start.min, fanIn * max + start.max)
}

/**
 * The most inputs a neuron may use so that no weights and no inputs in range overflow a register of so
 * many bits: exact, the worst neuron of one input more does overflow.
 *
 * @throws EspalierError INVALID_ARGUMENT where not even one input fits; the message says the width that would do
 * @example
 * ```ts
 * import { quant } from 'espalier'
 * const weight = quant.integerRange({ bits: 2, signed: true })
 * const input = quant.integerRange({ bits: 2, signed: false })
 * quant.layerCap({ accumulatorBits: 7, weightBits: 2, inputBits: 2 }) // 14: ⌊127 / 9⌋
 * quant.fanInWidth(14, { weight, input }) // 8: fourteen weights of −2 reach −84
 * quant.safeFanIn(7, { weight, input }) // 10
 * ```
 */
export function safeFanIn(accumulatorBits: number, codes: NeuronCodes): number {
  wholeNumber('accumulatorBits', accumulatorBits, 2, 32)
  const { min, max } = productRange(codes)
  const start = startOf(codes)
  const above = max === 0 ? Number.MAX_SAFE_INTEGER : (2 ** (accumulatorBits - 1) - 1 - start.max) / max
  const below = min === 0 ? Number.MAX_SAFE_INTEGER : (2 ** (accumulatorBits - 1) + start.min) / -min
  const fanIn = Math.floor(Math.min(above, below))
  if (fanIn >= 1) return fanIn
  const beside = start.min === 0 && start.max === 0 ? '' : ` beside a bias of ${start.min}…${start.max}`
  throw new EspalierError('INVALID_ARGUMENT', `accumulatorBits is ${accumulatorBits}: not one input fits${beside}, expected at least ${fanInWidth(1, codes)}`)
}

/**
 * Whether Ω keeps its word: no neuron of Ω inputs, with weights and inputs of these widths, overflows.
 * False for P = 7, w = a = 2, unsigned inputs and full-range weights, where Ω is 14.
 */
export function layerCapIsSafe(options: LayerCapOptions, { inputSigned, narrow = false }: { inputSigned: boolean; narrow?: boolean }): boolean {
  const weight = integerRange({ bits: options.weightBits, signed: true, narrow })
  const input = integerRange({ bits: options.inputBits, signed: inputSigned })
  return fanInWidth(layerCap(options), { weight, input }) <= options.accumulatorBits
}

/**
 * The mask Concrete ML makes of Ω: the (fan-in − Ω)·rows smallest weights of the whole tensor go, none
 * where the fan-in is Ω or less. Only the average neuron keeps Ω inputs; single ones keep more. For a
 * cap on every neuron use `nn.fanInMask`.
 *
 * @param weight [out, …]
 */
export function layerCapMask(weight: Tensor, omega: number): Tensor {
  const rows = weight.shape[0]
  const fanIn = rows === 0 ? 0 : weight.size / rows
  return reshape(fanInMask(reshape(weight, [1, -1]), Math.min(fanIn, omega) * rows), weight.shape)
}
