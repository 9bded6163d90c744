import { EspalierError, wholeNumber } from '../../native/index.js'
import { allocate, defaultGenerator, formatShape, type Generator, Tensor } from '../../tensor/index.js'
import type { Transform } from './transform.js'

/** Moves each image of x [n, c, h, w] by up to `most` pixels in each direction, differently each time; zeros move in. */
export function randomShift(most: number, { generator = defaultGenerator }: { generator?: Generator } = {}): Transform {
  wholeNumber('randomShift: most', most)
  return (x) => {
    if (x.rank !== 4) throw new EspalierError('SHAPE_MISMATCH', `randomShift: x has shape ${formatShape(x.shape)}, expected [n, c, h, w]`)
    const [n, channels, height, width] = x.shape
    const draws = generator.uniform([n, 2], { min: -most, max: most + 1 }).data
    const y = allocate(x.dtype, x.size).fill(0)
    for (let image = 0; image < n; image++) {
      const down = Math.min(most, Math.floor(draws[2 * image]))
      const right = Math.min(most, Math.floor(draws[2 * image + 1]))
      const first = Math.max(0, right)
      const last = Math.min(width, width + right)
      for (let row = 0; row < channels * height; row++) {
        const from = (row % height) - down
        if (from < 0 || from >= height || first >= last) continue
        const to = (image * channels * height + row) * width
        y.set(x.data.subarray(to - down * width + first - right, to - down * width + last - right) as never, to + first)
      }
    }
    return new Tensor(y, x.shape, x.dtype)
  }
}
