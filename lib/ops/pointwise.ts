// A convolution of 1×1 that takes every pixel as it is: the product of its weight [out, in] and the pixels of all images,
// by the kept entries of the weight, as a GPU's sparse kernels have it.
//
// These want a pixel a column, [channels, pixels], as one image has them; the pixels of several are copied so first, and
// what comes out is copied back.
import type { Pattern } from '../kernels/pattern.js'
import { type Conv2d, native, nativeOnGpu, type Storage } from '../native/index.js'
import { empty, recycle, type Shape, type Tensor, unset } from '../tensor/index.js'

/** Whether a convolution is such a product. */
export const isPointwise = ([, , height, width, , outHeight, outWidth, kernelHeight, kernelWidth, , , above, left, , , groups]: Conv2d): boolean =>
  kernelHeight * kernelWidth === 1 && groups === 1 && above === 0 && left === 0 && outHeight === height && outWidth === width

/** The convolution of x. */
export function pointwise(x: Tensor, values: Tensor, pattern: Pattern, bias: Tensor | null, shape: Shape): Tensor {
  return imagesOf(shape, x.dtype, (y) =>
    byChannel(x, (pixels) =>
      nativeOnGpu.sparseForward(values.storage, pattern.storage, pixels, bias?.storage ?? null, y, ...pattern.shape(pixelsIn(x), 'columns')),
    ),
  )
}

/** Its gradient for x. */
export function pointwiseDataGradient(dy: Tensor, values: Tensor, pattern: Pattern, shape: Shape): Tensor {
  return imagesOf(shape, dy.dtype, (dx) =>
    byChannel(dy, (pixels) => nativeOnGpu.sparseDataGrad(values.storage, pattern.storage, pixels, dx, ...pattern.shape(pixelsIn(dy), 'columns'))),
  )
}

/** Its gradient for the kept values. */
export function pointwiseWeightGradient(x: Tensor, dy: Tensor, pattern: Pattern): Tensor {
  const values = empty([pattern.count], dy.dtype)
  byChannel(x, (ofX) =>
    byChannel(dy, (ofDy) => nativeOnGpu.sparseWeightGrad(ofX, ofDy, pattern.storage, values.storage, ...pattern.shape(pixelsIn(x), 'columns'))),
  )
  return values
}

const pixelsIn = ({ shape: [n, , height, width] }: Tensor): number => n * height * width

/** Hands the elements of images, [n, channels, height, width], on by channel: [channels, n, height, width]. */
function byChannel({ storage, shape: [n, channels, height, width] }: Tensor, body: (pixels: Storage) => void): void {
  if (n === 1 || channels === 1) {
    body(storage)
    return
  }
  const pixels = unset(storage)
  swap(storage, pixels, [n, channels, height * width])
  body(pixels)
  recycle(pixels)
}

/** Images of what is filled in by channel. */
function imagesOf(shape: Shape, dtype: Tensor['dtype'], fillIn: (pixels: Storage) => void): Tensor {
  const [n, channels, height, width] = shape
  const images = empty(shape, dtype)
  if (n === 1 || channels === 1) fillIn(images.storage)
  else {
    const pixels = unset(images.storage)
    fillIn(pixels)
    swap(pixels, images.storage, [channels, n, height * width])
    recycle(pixels)
  }
  return images
}

/** Copies [a, b, inner] as [b, a, inner]. */
function swap(from: Storage, to: Storage, [a, b, inner]: readonly [number, number, number]): void {
  native.copyStrided([a, b, inner], [b * inner, inner, 1], 0, [inner, a * inner, 1], 0, from, to)
}
