import { defineOp, gradEnabled, type Sample } from '../autograd/index.js'
import { type AdaptivePool2d, native } from '../native/index.js'
import { empty, type Shape, type Tensor } from '../tensor/index.js'
import { type Extent, extents, spatial } from './pooling.js'

function adaptive(operation: string, x: Tensor, outputSize: Extent): { geometry: AdaptivePool2d; outShape: Shape } {
  const { planes, leading, size } = spatial(operation, x, 2)
  const out = extents(operation, 'outputSize', outputSize, 2, 0)
  return { geometry: [planes, size[0], size[1], out[0], out[1]], outShape: [...leading, ...out] }
}

const cases = (sample: Sample): [Tensor, Extent][] => {
  const shapes: Shape[] = [
    [1, 1, 1, 1],
    [2, 3, 4, 4],
    [1, 2, 5, 7],
    [2, 6, 17],
    [0, 2, 4, 4],
  ]
  const sizes: Extent[] = [1, 2, [2, 3], [3, 1], [0, 1]]
  return shapes.flatMap((shape) => sizes.map((size): [Tensor, Extent] => [sample(shape, { distinct: true }), size]))
}

/**
 * The mean of each of outputSize windows that share out an image of x [N, C, H, W] or [C, H, W]: window i
 * of n covers rows ⌊i·H/n⌋ to ⌈(i+1)·H/n⌉. With outputSize 1 it is the mean of the whole image.
 */
export const adaptiveAvgPool2d = defineOp({
  name: 'adaptive_avg_pool2d',
  forward(x: Tensor, outputSize: Extent) {
    const { geometry, outShape } = adaptive('adaptive_avg_pool2d', x, outputSize)
    const output = empty(outShape, x.dtype)
    native.adaptiveAvgPool2dForward(x.storage, output.storage, ...geometry)
    return { output, saved: geometry }
  },
  backward(grad, { args: [x], saved: geometry }) {
    const dx = empty(x.shape, x.dtype)
    native.adaptiveAvgPool2dBackward(grad.storage, dx.storage, ...geometry)
    return [dx]
  },
  cases,
})

/** The largest value of each of those windows; of equal ones the first gets the gradient. See `adaptiveAvgPool2d`. */
export const adaptiveMaxPool2d = defineOp({
  name: 'adaptive_max_pool2d',
  forward(x: Tensor, outputSize: Extent) {
    const { geometry, outShape } = adaptive('adaptive_max_pool2d', x, outputSize)
    const output = empty(outShape, x.dtype)
    const places = gradEnabled() && x.requiresGrad ? empty(outShape, 'int32') : null
    native.adaptiveMaxPool2dForward(x.storage, output.storage, places?.storage ?? null, ...geometry)
    return { output, saved: { places, geometry } }
  },
  backward(grad, { args: [x], saved: { places, geometry } }) {
    const [planes, height, width, outHeight, outWidth] = geometry
    const dx = empty(x.shape, x.dtype)
    native.maxPoolBackward(grad.storage, (places as Tensor).storage, dx.storage, planes, height * width, outHeight * outWidth)
    return [dx]
  },
  cases,
})
