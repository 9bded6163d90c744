import { defineOp } from '../autograd/index.js'
import { ensure, native, wholeNumber } from '../native/index.js'
import { empty, formatShape, type Tensor } from '../tensor/index.js'
import { floatTensor } from './operand.js'

const sizesOf = ({ shape, size }: Tensor): readonly [outer: number, channels: number, inner: number] => [
  shape[0],
  shape[1],
  shape[0] * shape[1] === 0 ? 0 : size / (shape[0] * shape[1]),
]

/**
 * Sums [n, channels, …] to the codes of the next layer: clamp(round(x · exp(l)), 0, max), with l [channels] the
 * logarithms of a multiplier for each channel; ties to even. The gradient passes where x · exp(l) rounds to a code.
 *
 * @returns whole numbers, x's shape and dtype, float32 or float64
 */
export const requantise = defineOp({
  name: 'requantise',
  forward(x: Tensor, logMultiplier: Tensor, { max }: { max: number }) {
    floatTensor('requantise', 'x', x)
    ensure(
      x.rank >= 2 && logMultiplier.size === x.shape[1],
      'SHAPE_MISMATCH',
      () => `requantise: x has shape ${formatShape(x.shape)}, expected [n, ${logMultiplier.size}, …]`,
    )
    wholeNumber('requantise: max', max, 1, 2 ** 15 - 1)
    const y = empty(x.shape, x.dtype)
    native.requantiseForward(x.storage, logMultiplier.storage, ...sizesOf(x), max, y.storage)
    return y
  },
  backward(grad, { args: [x, logMultiplier, { max }], needs }) {
    const gradX = needs[0] ? empty(x.shape, x.dtype) : null
    const gradLog = needs[1] ? empty(logMultiplier.shape, logMultiplier.dtype) : null
    native.requantiseBackward(grad.storage, x.storage, logMultiplier.storage, ...sizesOf(x), max, gradX?.storage ?? null, gradLog?.storage ?? null)
    return [gradX, gradLog]
  },
  // Rounding has no useful derivative: see test/ops/requantise.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) =>
    Array.from({ length: 20 }, (_, i): [Tensor, Tensor, { max: number }] => [
      sample(i % 2 === 0 ? [1 + (i % 3), i] : [2, 1 + (i % 5), i]),
      sample([i % 2 === 0 ? i : 1 + (i % 5)]),
      { max: 3 },
    ]),
})
