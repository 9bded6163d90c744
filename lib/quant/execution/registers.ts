import { type Conv2d, describe, EspalierError, ensure, native, Overflow, Summing, wholeNumber } from '../../native/index.js'
import { defaultGenerator, type Generator } from '../../tensor/index.js'

// Sums as narrow hardware forms them: in registers that wrap, saturate or must not overflow, in any
// order, in one register or tile by tile.

/** What becomes of a sum that its register cannot hold; 'error' allows none. */
export type OverflowRule = 'wrap' | 'saturate' | 'error'

/** The registers that products are added up in, and in which order. */
export interface RegisterOptions {
  /** Width of the register, two's complement, 2 to 32 bits. */
  bits: number
  overflow: OverflowRule
  /**
   * 'given': as the weights lie. 'random': in an order drawn once for all neurons. 'worst': for every sum
   * anew, all products of one sign first, that sign whose sum leaves the register by more. Default 'given'.
   */
  order?: 'given' | 'random' | 'worst'
  /** What draws the random order. Default: the global generator. */
  generator?: Generator
  /**
   * Adds up each `size` products in turn in a register of `bits`, and their sums in the outer one. A tile
   * keeps its products in the worst order, which orders those inside of each, and then their sums.
   */
  tile?: { size: number; bits: number }
}

const rules: ReadonlySet<unknown> = new Set<OverflowRule>(['wrap', 'saturate', 'error'])
const orders: ReadonlySet<unknown> = new Set<RegisterOptions['order']>([undefined, 'given', 'random', 'worst'])

export function checkRegisters({ bits, overflow, order, tile }: RegisterOptions): void {
  wholeNumber('bits', bits, 2, 32)
  ensure(rules.has(overflow), 'INVALID_ARGUMENT', () => `overflow is ${describe(overflow)}, expected 'wrap', 'saturate' or 'error'`)
  ensure(orders.has(order), 'INVALID_ARGUMENT', () => `order is ${describe(order)}, expected 'given', 'random' or 'worst'`)
  if (tile === undefined) return
  wholeNumber('tile.size', tile.size, 1, 2 ** 31 - 1)
  wholeNumber('tile.bits', tile.bits, 2, 32)
}

/** Products to be added up: a convolution of codes; a matrix product is one of images of one element. */
export interface Products {
  readonly x: Int32Array
  readonly weights: Int32Array
  readonly bias: Int32Array | null
  readonly shape: Conv2d
}

export const fanInOf = ([, inChannels, , , , , , kernelHeight, kernelWidth, , , , , , , groups]: Conv2d): number =>
  (inChannels / groups) * kernelHeight * kernelWidth

const sumsOf = ([n, , , , outChannels, outHeight, outWidth]: Conv2d): Int32Array => new Int32Array(n * outChannels * outHeight * outWidth)

/** The sums themselves, which must all lie within 32 bits. */
export function exactSums({ x, weights, bias, shape }: Products): Int32Array {
  const sums = sumsOf(shape)
  // Bits lost above 32 on the way do not change a sum that fits.
  native.narrowConv2d(x, weights, bias, null, Summing.listed, 32, Overflow.wrap, 0, 0, sums, null, ...shape)
  return sums
}

/** What the registers hold in the end; and for each sum after how many products it first left its register, −1 where it never did. */
export interface RegisterSums {
  readonly sums: Int32Array
  readonly first: Int32Array
}

/** The order in which `options` adds up the products of neurons with so many inputs; null where it is the weights' own. */
export const drawnOrder = (fanIn: number, { order, generator = defaultGenerator }: RegisterOptions): Int32Array | null =>
  order === 'random' ? (generator.permutation(fanIn).data as Int32Array) : null

export function registerSums({ x, weights, bias, shape }: Products, { bits, overflow, order, tile }: RegisterOptions, drawn: Int32Array | null): RegisterSums {
  const [sums, first] = [sumsOf(shape), sumsOf(shape)]
  native.narrowConv2d(
    ...([x, weights, bias, drawn, order === 'worst' ? Summing.worst : Summing.listed, bits] as const),
    ...([overflow === 'saturate' ? Overflow.saturate : Overflow.wrap, tile?.size ?? 0, tile?.bits ?? 0, sums, first, ...shape] as const),
  )
  return { sums, first }
}

/**
 * One neuron's sum bias + Σ wᵢ·xᵢ as registers of a width form it.
 *
 * @param weights codes within ±2^15, as are x
 * @param options.bias integer that the sum starts from
 * @returns what the register holds in the end, and after how many products it was first left: 0 if the
 *   bias alone does not fit, null if it never was; under the worst order all of them, as there is no one place
 * @throws EspalierError STATE where it is left and `overflow` is 'error'
 * @example
 * ```ts
 * import { quant } from 'espalier'
 * const [weights, x] = [[3, 3, -3], [15, 15, 15]] // 45 + 45 − 45
 * quant.sumInRegister(weights, x, { bits: 7, overflow: 'wrap' }) // { sum: 45, overflowAfter: 2 }
 * quant.sumInRegister(weights, x, { bits: 7, overflow: 'saturate' }) // { sum: 18, overflowAfter: 2 }
 * quant.sumInRegister([3, -3, 3], x, { bits: 7, overflow: 'error' }) // { sum: 45, overflowAfter: null }
 * ```
 */
export function sumInRegister(
  weights: ArrayLike<number>,
  x: ArrayLike<number>,
  { bias = 0, ...options }: RegisterOptions & { bias?: number },
): { sum: number; overflowAfter: number | null } {
  checkRegisters(options)
  const shape: Conv2d = [1, weights.length, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1]
  ensure(x.length === weights.length, 'SHAPE_MISMATCH', () => `sumInRegister: x has ${x.length} elements, expected ${weights.length}, as the weights`)
  const products = { x: integers('x', x), weights: integers('weights', weights), bias: integers('bias', [bias]), shape }
  const { sums, first } = registerSums(products, options, drawnOrder(weights.length, options))
  const overflowAfter = first[0] < 0 ? null : first[0]
  if (overflowAfter !== null && options.overflow === 'error')
    throw new EspalierError('STATE', `sumInRegister: the sum leaves its register of ${options.bits} bits after ${overflowAfter} of ${weights.length} products`)
  return { sum: sums[0], overflowAfter }
}

function integers(name: string, values: ArrayLike<number>): Int32Array {
  return Int32Array.from(values, (value, i) => wholeNumber(`sumInRegister: ${name}[${i}]`, value, -(2 ** 31), 2 ** 31 - 1))
}
