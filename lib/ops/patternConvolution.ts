// Convolutions by a pattern of kept entries, as a GPU's sparse kernels have them: of 1×1 where every pixel is taken as it is
// the product of a matrix, any other by shifted planes.
import type { Pattern } from '../kernels/pattern.js'
import { type Conv2d, nativeOnGpu } from '../native/index.js'
import { empty, type Shape, type Tensor } from '../tensor/index.js'
import { isPointwise, pointwise, pointwiseDataGradient, pointwiseWeightGradient } from './pointwise.js'

/** The convolution of x. */
export function patternConvolution(geometry: Conv2d, x: Tensor, values: Tensor, pattern: Pattern, bias: Tensor | null, shape: Shape): Tensor {
  if (isPointwise(geometry)) return pointwise(x, values, pattern, bias, shape)
  const y = empty(shape, x.dtype)
  nativeOnGpu.sparseConvolutionForward(values.storage, pattern.storage, x.storage, bias?.storage ?? null, y.storage, pattern.fanIn, ...geometry)
  return y
}

/** Its gradient for x. */
export function patternDataGradient(geometry: Conv2d, dy: Tensor, values: Tensor, pattern: Pattern, shape: Shape): Tensor {
  if (isPointwise(geometry)) return pointwiseDataGradient(dy, values, pattern, shape)
  const dx = empty(shape, dy.dtype)
  nativeOnGpu.sparseConvolutionDataGrad(values.storage, pattern.storage, dy.storage, dx.storage, pattern.fanIn, ...geometry)
  return dx
}

/** Its gradient for the kept values. */
export function patternWeightGradient(geometry: Conv2d, x: Tensor, dy: Tensor, pattern: Pattern): Tensor {
  if (isPointwise(geometry)) return pointwiseWeightGradient(x, dy, pattern)
  const values = empty([pattern.count], dy.dtype)
  nativeOnGpu.sparseConvolutionWeightGrad(x.storage, dy.storage, pattern.storage, values.storage, pattern.fanIn, ...geometry)
  return values
}
