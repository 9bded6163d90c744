// How a convolution's options become the sizes that kernels are told.
import { type Conv2d, describe, EspalierError, ensure, wholeNumber } from '../native/index.js'
import { vectorsIn } from './arguments.js'

/** One number for both directions, or [height, width]. */
export type Pair = number | readonly [height: number, width: number]

/** Where the outputs of a two-dimensional convolution lie. */
export interface ConvSteps {
  /** Steps between outputs. Default 1. */
  stride?: Pair
  /** Zeros around each plane: a number, [height, width], 'valid' (none) or 'same' (the output keeps the size; stride 1). Default 0. */
  padding?: Pair | 'same' | 'valid'
  /** Steps between the elements of the kernel. Default 1. */
  dilation?: Pair
}

/** The planes of a batch, and where the outputs lie in them. */
export interface ConvPlanes extends ConvSteps {
  /** Of each plane of x. */
  height: number
  width: number
  /** Images. By default as many as the array that is given holds. */
  n?: number
}

/** The weight of a convolution: [outChannels, inChannels / groups, kernel height, kernel width]. */
export interface ConvWeight {
  readonly inChannels: number
  readonly outChannels: number
  readonly kernelSize: readonly [height: number, width: number]
  readonly groups: number
}

/** An option as [height, width], each a whole number of at least `low`. */
export function pairOf(operation: string, name: string, value: Pair, low: number): readonly [number, number] {
  if (typeof value === 'number') {
    wholeNumber(`${operation}: ${name}`, value, low)
    return [value, value]
  }
  ensure(
    Array.isArray(value) && value.length === 2,
    'INVALID_ARGUMENT',
    () => `${operation}: ${name} is ${describe(value)}, expected a whole number or [height, width]`,
  )
  wholeNumber(`${operation}: ${name}[0]`, value[0], low)
  wholeNumber(`${operation}: ${name}[1]`, value[1], low)
  return value
}

/** Zeros before and behind an axis: as given, or by torch's words for it. */
export function paddingOf(operation: string, padding: number | string, kernel: number, stride: number, dilation: number): readonly [number, number] {
  if (typeof padding === 'number') return [padding, padding]
  if (padding === 'valid') return [0, 0]
  ensure(padding === 'same', 'INVALID_ARGUMENT', () => `${operation}: padding is ${describe(padding)}, expected a size, 'valid' or 'same'`)
  ensure(stride === 1, 'INVALID_ARGUMENT', () => `${operation}: padding 'same' keeps the size and goes with stride 1, the stride is ${stride}`)
  // The odd zero goes behind.
  const total = dilation * (kernel - 1)
  return [Math.floor(total / 2), Math.ceil(total / 2)]
}

/** Outputs along an axis, of an input of `size` with `padding` zeros in all. */
export function outputSize(operation: string, size: number, padding: number, kernel: number, stride: number, dilation: number): number {
  const extent = dilation * (kernel - 1) + 1
  if (kernel < 1) throw new EspalierError('SHAPE_MISMATCH', `${operation}: the kernel has no elements`)
  if (extent > size + padding)
    throw new EspalierError('SHAPE_MISMATCH', `${operation}: a kernel of ${kernel} spans ${extent}, more than the ${size + padding} of the padded input`)
  return Math.floor((size + padding - extent) / stride) + 1
}

/** What kernels are told of the convolution of `n` images whose planes are [height, width]. */
export function geometryOf(
  operation: string,
  { inChannels, outChannels, kernelSize, groups }: ConvWeight,
  n: number,
  planes: readonly [height: number, width: number],
  { stride = 1, padding = 0, dilation = 1 }: ConvSteps,
): Conv2d {
  const strides = pairOf(operation, 'stride', stride, 1)
  const dilations = pairOf(operation, 'dilation', dilation, 1)
  const zeros = typeof padding === 'string' ? ([padding, padding] as const) : pairOf(operation, 'padding', padding, 0)
  const axes = [0, 1].map((axis) => {
    const [before, behind] = paddingOf(operation, zeros[axis], kernelSize[axis], strides[axis], dilations[axis])
    return { before, out: outputSize(operation, planes[axis], before + behind, kernelSize[axis], strides[axis], dilations[axis]) }
  })
  const [rows, columns] = axes
  return [n, inChannels, ...planes, outChannels, rows.out, columns.out, ...kernelSize, ...strides, rows.before, columns.before, ...dilations, groups]
}

export const inputLength = ([n, channels, height, width]: Conv2d): number => n * channels * height * width
export const outputLength = ([n, , , , channels, height, width]: Conv2d): number => n * channels * height * width

/** The same for as many images as an array, x or the gradient of the output, holds. */
export function geometryOfBatch(
  operation: string,
  weight: ConvWeight,
  { n, height, width, ...steps }: ConvPlanes,
  name: 'x' | 'dy',
  array: Float32Array,
): Conv2d {
  const planes = [wholeNumber(`${operation}: height`, height), wholeNumber(`${operation}: width`, width)] as const
  const one = geometryOf(operation, weight, 1, planes, steps)
  const images = n === undefined ? vectorsIn(operation, name, array, name === 'x' ? inputLength(one) : outputLength(one)) : wholeNumber(`${operation}: n`, n)
  return geometryOf(operation, weight, images, planes, steps)
}
