import { defineOp, gradEnabled, type Sample } from '../autograd/index.js'
import { native } from '../native/index.js'
import { empty, type Shape, type Tensor } from '../tensor/index.js'
import { type DilatedPoolOptions, pooling } from './pooling.js'

/** The last argument of a max pooling operation receives the places of the largest values. */
const maxPool = (name: string, dims: 1 | 2, cases: (sample: Sample) => [Tensor, DilatedPoolOptions][]) =>
  defineOp({
    name,
    selects: true,
    forward(x: Tensor, options: DilatedPoolOptions, indices?: Tensor) {
      const { geometry, outShape } = pooling(name, x, dims, options)
      const output = empty(outShape, x.dtype)
      const places = indices ?? (gradEnabled() && x.requiresGrad ? empty(outShape, 'int32') : null)
      native.maxPool2dForward(x.storage, output.storage, places?.storage ?? null, ...geometry)
      return { output, saved: { places, geometry } }
    },
    backward(grad, { args: [x], saved: { places, geometry } }) {
      const [planes, height, width, outHeight, outWidth] = geometry
      const dx = empty(x.shape, x.dtype)
      native.maxPoolBackward(grad.storage, (places as Tensor).storage, dx.storage, planes, height * width, outHeight * outWidth)
      return [dx, null]
    },
    cases,
  })

/**
 * The largest value of each window of images [N, C, H, W] or [C, H, W]; of equal ones the first gets
 * the gradient. A window larger than the padded image is an error.
 */
export const maxPool2d = maxPool('max_pool2d', 2, (sample) => {
  const shapes: Shape[] = [
    [1, 1, 2, 2],
    [2, 3, 4, 4],
    [1, 2, 5, 7],
    [2, 6, 9],
    [1, 1, 4, 37],
    [0, 2, 4, 4],
  ]
  const options: DilatedPoolOptions[] = [
    { kernelSize: 2 },
    { kernelSize: 2, stride: 1, ceilMode: true },
    { kernelSize: [2, 1], stride: [1, 2] },
    { kernelSize: 2, stride: 3, padding: 1, ceilMode: true },
  ]
  const wide: [Tensor, DilatedPoolOptions][] = [
    [sample([1, 2, 6, 6], { distinct: true }), { kernelSize: 3, stride: 2, padding: 1 }],
    [sample([1, 1, 7, 9], { distinct: true }), { kernelSize: 2, stride: 1, dilation: [2, 3] }],
  ]
  return [...shapes.flatMap((shape) => options.map((option): [Tensor, DilatedPoolOptions] => [sample(shape, { distinct: true }), option])), ...wide]
})

/** The largest value of each window of [N, C, L] or [C, L]; see `maxPool2d`. */
export const maxPool1d = maxPool('max_pool1d', 1, (sample) =>
  [1, 2, 3, 5, 8, 16, 17].flatMap((length) =>
    [{ kernelSize: 1 }, { kernelSize: 2, padding: 1, ceilMode: true }, { kernelSize: 3, stride: 1, padding: 1 }].map((option): [Tensor, DilatedPoolOptions] => [
      sample([2, 3, length], { distinct: true }),
      option,
    ]),
  ),
)

/**
 * As `maxPool2d`, with the place of each value in its plane: int32, row · W + column of the unpadded image.
 */
export function maxPool2dWithIndices(x: Tensor, options: DilatedPoolOptions): { values: Tensor; indices: Tensor } {
  const indices = empty(pooling('max_pool2d', x, 2, options).outShape, 'int32', x.device)
  return { values: maxPool2d(x, options, indices), indices }
}
