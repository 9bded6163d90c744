import { asTensor } from '../autograd/index.js'
import { describe, EspalierError, ensure, type Pool2d, wholeNumber } from '../native/index.js'
import { formatShape, type Shape, type Tensor } from '../tensor/index.js'

/** One number for every spatial dimension, or one each: [height, width]. */
export type Extent = number | readonly number[]

/** Sizes of windows and of their steps. */
export interface PoolOptions {
  /** Values a window covers. */
  kernelSize: Extent
  /** From one window to the next. Default: kernelSize. */
  stride?: Extent | null
  /** Border around the image, at most half of kernelSize; what lies in it does not count. Default 0. */
  padding?: Extent
  /** Whether a last window may stick out of the padded image, if it starts in front of the padding behind the image. Default false. */
  ceilMode?: boolean
}

export interface DilatedPoolOptions extends PoolOptions {
  /** From one value of a window to the next. Default 1. */
  dilation?: Extent
}

/** What an operation over `dims` spatial dimensions works on: x as planes, one dimension seen as height 1. */
export interface Pooling {
  geometry: Pool2d
  outShape: Shape
}

/** An extent as one whole number a dimension. */
export function extents(operation: string, name: string, value: Extent, dims: number, low: number): Shape {
  const list = Array.isArray(value) ? (value as readonly number[]) : new Array<number>(dims).fill(value as number)
  if (list.length !== dims) throw new EspalierError('INVALID_ARGUMENT', `${operation}: ${name} is ${describe(value)}, expected a number or ${dims} of them`)
  for (const item of list) wholeNumber(`${operation}: ${name}`, item, low, 2 ** 31 - 1)
  return list
}

/** The leading dimensions and the `dims` spatial ones of a tensor with or without a batch dimension. */
export function spatial(operation: string, x: Tensor, dims: number): { planes: number; leading: Shape; size: Shape } {
  const { shape } = asTensor(operation, 'x', x)
  const wanted = dims === 1 ? '[N, C, L] or [C, L]' : '[N, C, H, W] or [C, H, W]'
  ensure(shape.length === dims + 1 || shape.length === dims + 2, 'SHAPE_MISMATCH', () => `${operation}: x has shape ${formatShape(shape)}, expected ${wanted}`)
  const leading = shape.slice(0, -dims)
  return { planes: leading.reduce((product, dimension) => product * dimension, 1), leading, size: shape.slice(-dims) }
}

/** How many windows there are along one dimension. */
function windows(operation: string, size: number, kernel: number, stride: number, padding: number, dilation: number, ceilMode: boolean): number {
  const room = size + 2 * padding - dilation * (kernel - 1) - 1
  if (size === 0 || room < 0)
    throw new EspalierError(
      'SHAPE_MISMATCH',
      `${operation}: a window of ${dilation * (kernel - 1) + 1} is larger than the input of ${size} with padding ${padding}`,
    )
  const count = Math.floor((ceilMode ? room + stride - 1 : room) / stride) + 1
  return ceilMode && (count - 1) * stride >= size + padding ? count - 1 : count
}

/** Checks the arguments of a pooling operation. */
export function pooling(operation: string, x: Tensor, dims: 1 | 2, options: DilatedPoolOptions): Pooling {
  const { planes, leading, size } = spatial(operation, x, dims)
  ensure(typeof options === 'object' && options !== null, 'INVALID_ARGUMENT', () => `${operation}: options is ${describe(options)}, expected { kernelSize, … }`)
  const kernel = extents(operation, 'kernelSize', options.kernelSize, dims, 1)
  const stride = extents(operation, 'stride', options.stride ?? options.kernelSize, dims, 1)
  const padding = extents(operation, 'padding', options.padding ?? 0, dims, 0)
  const dilation = extents(operation, 'dilation', options.dilation ?? 1, dims, 1)
  padding.forEach((border, i) => {
    ensure(2 * border <= kernel[i], 'INVALID_ARGUMENT', () => `${operation}: padding is ${border}, expected at most half of kernelSize ${kernel[i]}`)
  })
  const out = size.map((length, i) => windows(operation, length, kernel[i], stride[i], padding[i], dilation[i], options.ceilMode ?? false))
  const plane = (values: Shape, height: number): [number, number] => (dims === 1 ? [height, values[0]] : [values[0], values[1]])
  const geometry: Pool2d = [planes, ...plane(size, 1), ...plane(out, 1), ...plane(kernel, 1), ...plane(stride, 1), ...plane(padding, 0), ...plane(dilation, 1)]
  return { geometry, outShape: [...leading, ...out] }
}
