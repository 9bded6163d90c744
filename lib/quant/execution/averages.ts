import { type Op, operations } from '../../autograd/index.js'
import type { Conv2d } from '../../native/index.js'
import { cast } from '../../ops/index.js'
import type { Shape, Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'
import type { Expression, Operand } from './expression.js'

// Means of codes. Their integers are sums of codes, by a convolution whose weights are ones; but the forward
// pass adds up floats, and how these round depends on which codes made up the sum. So the value of a sum
// is known but for a slack, and whoever makes codes of it has to see that the slack cannot matter.

/**
 * The sums behind an operation that averages windows of codes of one sample of shape `from`: their geometry,
 * a channel a group; null where it averages nothing, or windows of several sizes.
 */
export function windowSums(name: string, args: readonly unknown[], from: Shape, to: Shape): Conv2d | null {
  const [channels, ...extent] = from
  const [height, width] = extent.length === 1 ? [1, extent[0]] : extent
  const whole = (kernelHeight: number, kernelWidth: number, strideHeight: number, strideWidth: number, outHeight: number, outWidth: number): Conv2d => [
    ...([1, channels, height, width, channels, outHeight, outWidth, kernelHeight, kernelWidth] as const),
    ...([strideHeight, strideWidth, 0, 0, 1, 1, channels] as const),
  ]
  if (name === 'avg_pool2d' || name === 'avg_pool1d') {
    const { saved } = (operations.get(name) as Op<readonly never[]>).spec.forward(...(args as never[])) as { saved: { geometry: readonly number[] } }
    const [, , , outHeight, outWidth, kernelHeight, kernelWidth, strideHeight, strideWidth, top, left] = saved.geometry
    const inside = (outHeight - 1) * strideHeight + kernelHeight <= height && (outWidth - 1) * strideWidth + kernelWidth <= width
    return top === 0 && left === 0 && inside ? whole(kernelHeight, kernelWidth, strideHeight, strideWidth, outHeight, outWidth) : null
  }
  if (name === 'adaptive_avg_pool2d' && from.length === 3) {
    const [, outHeight, outWidth] = to
    const [down, right] = [height / outHeight, width / outWidth]
    return Number.isInteger(down) && Number.isInteger(right) ? whole(down, right, down, right, outHeight, outWidth) : null
  }
  // A mean over all places: of each channel one number is left.
  if (name === 'mean' && from.length > 1) {
    const { dim = null } = (args[1] ?? {}) as { dim?: number | readonly number[] | null }
    const dims = new Set((dim === null ? [0] : [dim].flat()).map((axis) => (axis < 0 ? axis + from.length + 1 : axis)))
    return dims.size === extent.length && !dims.has(0) && !dims.has(1) ? whole(height, width, 1, 1, 1, 1) : null
  }
  return null
}

/** How many codes a window of such a geometry holds. */
export const windowSize = ([, , , , , , , kernelHeight, kernelWidth]: Conv2d): number => kernelHeight * kernelWidth

/**
 * The mean behind sums of `count` codes in a range, times their scale. The forward pass's is within slack: it
 * rounds each code times scale, each sum and the quotient, this here the sum, the product and the quotient.
 */
export function meanOf(sums: Operand, shape: Shape, codes: IntegerRange, count: number, scale: Tensor): Expression {
  const unit = scale.dtype === 'float64' ? 2 ** -53 : 2 ** -24
  const largest = count * Math.max(-codes.min, codes.max)
  const power = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value))
  // A scale that is a power of two rounds nothing, as long as sums have room; then the quotient alone is left.
  const sumsRound = !power(scale.item()) || largest >= 1 / unit
  const roundings = sumsRound ? 1.1 * (count + 8) : power(count) ? 0 : 4
  return {
    operands: [sums],
    shape,
    scale: null,
    uniform: true,
    of: ([integers]) => cast(integers, scale.dtype).mul(scale).div(count),
    slack: roundings * unit * largest,
  }
}
