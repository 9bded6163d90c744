import { defineOp, type Sample } from '../autograd/index.js'
import { native } from '../native/index.js'
import { empty, type Shape, type Tensor } from '../tensor/index.js'
import { type PoolOptions, pooling } from './pooling.js'

export interface AvgPoolOptions extends PoolOptions {
  /** Whether a mean divides by all of a window inside the padded image, or only by what lies in the image itself. Default true. */
  countIncludePad?: boolean
}

const avgPool = (name: string, dims: 1 | 2, cases: (sample: Sample) => [Tensor, AvgPoolOptions][]) =>
  defineOp({
    name,
    forward(x: Tensor, options: AvgPoolOptions) {
      const { geometry, outShape } = pooling(name, x, dims, { ...options, dilation: 1 })
      const output = empty(outShape, x.dtype)
      const countPadding = (options.countIncludePad ?? true) ? 1 : 0
      native.avgPool2dForward(x.storage, countPadding, output.storage, ...geometry)
      return { output, saved: { geometry, countPadding } }
    },
    backward(grad, { args: [x], saved: { geometry, countPadding } }) {
      const dx = empty(x.shape, x.dtype)
      native.avgPool2dBackward(grad.storage, countPadding, dx.storage, ...geometry)
      return [dx]
    },
    cases,
  })

/** The mean of each window of images [N, C, H, W] or [C, H, W]. A window larger than the padded image is an error. */
export const avgPool2d = avgPool('avg_pool2d', 2, (sample) => {
  const shapes: Shape[] = [
    [1, 1, 2, 2],
    [2, 3, 4, 4],
    [1, 2, 5, 7],
    [2, 6, 9],
    [0, 2, 4, 4],
  ]
  const options: AvgPoolOptions[] = [
    { kernelSize: 2 },
    { kernelSize: 2, stride: 1, ceilMode: true },
    { kernelSize: [2, 1], stride: [1, 2] },
    { kernelSize: 2, stride: 3, padding: 1, ceilMode: true },
    { kernelSize: 2, stride: 1, padding: 1, countIncludePad: false },
  ]
  return shapes.flatMap((shape) => options.map((option): [Tensor, AvgPoolOptions] => [sample(shape), option]))
})

/** The mean of each window of [N, C, L] or [C, L]; see `avgPool2d`. */
export const avgPool1d = avgPool('avg_pool1d', 1, (sample) =>
  [1, 2, 3, 5, 8, 16, 17].flatMap((length) =>
    [{ kernelSize: 1 }, { kernelSize: 2, padding: 1, ceilMode: true, countIncludePad: false }, { kernelSize: 3, stride: 1, padding: 1 }].map(
      (option): [Tensor, AvgPoolOptions] => [sample([2, 3, length]), option],
    ),
  ),
)
