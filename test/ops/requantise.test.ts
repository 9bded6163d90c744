import test from 'ava'
import { backward, EspalierError, ops, type Tensor, tensor } from '../../lib/index.js'
import { sameBitsOnThreads } from '../support/agree.js'
import { randomSource } from '../support/gradcheck.js'

const shapes = [
  [1, 1],
  [5, 3],
  [7, 33],
  [64, 120],
  [3, 4, 5],
  [2, 17, 3, 3],
  [4, 6, 14, 14],
  [0, 3],
  [2, 3, 0],
]

for (const dtype of ['float32', 'float64'] as const)
  test(`${dtype}: codes are the nearest, and gradients pass where a sum rounds to one`, (t) => {
    const random = randomSource(8)
    for (const shape of shapes) {
      const size = shape.reduce((product, dimension) => product * dimension, 1)
      const [, channels] = shape
      const inner = shape.slice(2).reduce((product, dimension) => product * dimension, 1)
      const draw = (length: number, scale: number): number[] => Array.from({ length }, () => Math.round((random() * 2 - 1) * scale))
      const x = tensor(draw(size, 30), shape, { dtype, requiresGrad: true })
      const logarithms = tensor(
        Array.from({ length: channels }, () => Math.log(1 / 2 ** Math.floor(random() * 4))),
        [channels],
        { dtype, requiresGrad: true },
      )
      const upstream = tensor(draw(size, 5), shape, { dtype })
      const y = ops.requantise(x, logarithms, { max: 5 })
      backward(y, upstream)
      const sums = new Float64Array(channels)
      let wrong = 0
      for (let i = 0; i < size; i++) {
        const channel = Math.floor(i / inner) % channels
        const multiplier = Math.exp(logarithms.data[channel])
        // (Powers of two, but for the rounding of their logarithms: halves are not to be told.)
        const value = x.data[i] * multiplier
        if (Math.abs(value - Math.floor(value) - 0.5) < 1e-3) {
          const code = y.data[i]
          if (![Math.floor(value), Math.ceil(value)].some((near) => Math.min(5, Math.max(0, near)) === code)) wrong++
        } else if (y.data[i] !== Math.min(5, Math.max(0, Math.round(value)))) wrong++
        const given = (x.grad as Tensor).data[i]
        const passes = given !== 0 || upstream.data[i] === 0
        if (value > -0.49 && value < 5.49 && !passes) wrong++
        if ((value < -0.51 || value > 5.51) && given !== 0) wrong++
        if (given !== 0 && Math.abs(given - upstream.data[i] * multiplier) > 1e-5) wrong++
        sums[channel] += given * x.data[i]
      }
      t.is(wrong, 0, String(shape))
      for (const [channel, sum] of sums.entries())
        t.true(Math.abs((logarithms.grad as Tensor).data[channel] - sum) <= 1e-4 * Math.max(1, Math.abs(sum)), String(shape))
    }
  })

test('the bits do not depend on the threads, and what must not be is refused', (t) => {
  t.true(sameBitsOnThreads((x, l) => ops.requantise(x, l, { max: 7 }), [[64, 12, 20, 20], [12]]))
  t.true(sameBitsOnThreads((x, l) => ops.requantise(x, l, { max: 7 }), [[300, 100], [100]]))
  const x = tensor([1, 2, 3, 4], [2, 2])
  t.throws(() => ops.requantise(x, tensor([0, 0, 0]), { max: 3 }), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  t.throws(() => ops.requantise(x, tensor([0, 0]), { max: 0 }), { instanceOf: EspalierError, message: /max/ })
  const [nan] = ops.requantise(tensor([Number.NaN, 1], [1, 2]), tensor([0, 0]), { max: 3 }).data
  t.true(Number.isNaN(nan))
})
