import { ensure, realNumber } from '../../native/index.js'
import { empty, formatShape, type Generator, type Tensor } from '../../tensor/index.js'

export interface RandomAffineOptions {
  /** Standard deviation of the rotation, degrees. Default 0. */
  rotate?: number
  /** Standard deviation of the logarithm of the magnification. Default 0. */
  scale?: number
  /** Largest shift in each direction, pixels; uniform, so mostly between pixels. Default 0. */
  shift?: number
  /** Share of the images that are changed at all, 0 to 1. Default 1. */
  probability?: number
  generator: Generator
}

/**
 * A transform that turns, magnifies and shifts each image of a batch [n, c, h, w] by amounts of its
 * own, about the centre, with bilinear interpolation and zeros outside. Values keep their range.
 *
 * Small images want shifts of fractions of a pixel: whole pixels are too coarse at 8×8.
 */
export function randomAffine({ rotate = 0, scale = 0, shift = 0, probability = 1, generator }: RandomAffineOptions): (images: Tensor) => Tensor {
  realNumber('rotate', rotate, 0)
  realNumber('scale', scale, 0)
  realNumber('shift', shift, 0)
  realNumber('probability', probability, 0, 1)
  return (images) => {
    ensure(images.rank === 4, 'SHAPE_MISMATCH', () => `randomAffine: images have shape ${formatShape(images.shape)}, expected [n, channels, height, width]`)
    const [n, channels, height, width] = images.shape
    const result = empty(images.shape, images.dtype)
    const normal = generator.normal([n, 2]).data
    const uniform = generator.uniform([n, 3]).data
    for (let i = 0; i < n; i++) {
      const at = i * channels * height * width
      const chosen = uniform[3 * i + 2] < probability
      const angle = chosen ? (normal[2 * i] * rotate * Math.PI) / 180 : 0
      const zoom = chosen ? Math.exp(-normal[2 * i + 1] * scale) : 1
      const [dx, dy] = chosen ? [(2 * uniform[3 * i] - 1) * shift, (2 * uniform[3 * i + 1] - 1) * shift] : [0, 0]
      for (let c = 0; c < channels; c++) {
        const plane = at + c * height * width
        warp(images.data, result.data, plane, height, width, { cos: Math.cos(angle) * zoom, sin: Math.sin(angle) * zoom, dx, dy })
      }
    }
    return result
  }
}

/** Each output pixel looks up where it came from; four neighbours share its value. */
function warp(
  from: Tensor['data'],
  to: Tensor['data'],
  plane: number,
  height: number,
  width: number,
  { cos, sin, dx, dy }: { cos: number; sin: number; dx: number; dy: number },
): void {
  const [middleY, middleX] = [(height - 1) / 2, (width - 1) / 2]
  const pixel = (y: number, x: number): number => (y >= 0 && y < height && x >= 0 && x < width ? from[plane + y * width + x] : 0)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++) {
      const sourceX = cos * (x - middleX) - sin * (y - middleY) + middleX - dx
      const sourceY = sin * (x - middleX) + cos * (y - middleY) + middleY - dy
      const [left, top] = [Math.floor(sourceX), Math.floor(sourceY)]
      const [right, down] = [sourceX - left, sourceY - top]
      const upper = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right
      const lower = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right
      to[plane + y * width + x] = upper * (1 - down) + lower * down
    }
}
