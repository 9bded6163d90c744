import { defineOp } from '../autograd/index.js'
import { ensure, type NativeArray, native, wholeNumber } from '../native/index.js'
import { allocate, converted, formatShape, hostValues, Tensor } from '../tensor/index.js'
import { floatTensor } from './operand.js'

const sizesOf = ({ shape, size }: Tensor): readonly [outer: number, channels: number, inner: number] => [
  shape[0],
  shape[1],
  shape[0] * shape[1] === 0 ? 0 : size / (shape[0] * shape[1]),
]

/** Values from this process's memory, where `like` is: there is no kernel for a GPU, whose arrays come to the CPU and go back. */
const placed = (values: NativeArray, { shape, dtype, device }: Tensor): Tensor =>
  new Tensor(device === 'cpu' ? values : converted(values, dtype, device), shape, dtype)

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
    const y = allocate(x.dtype, x.size)
    native.requantiseForward(hostValues(x.storage), hostValues(logMultiplier.storage), ...sizesOf(x), max, y)
    return placed(y, x)
  },
  backward(grad, { args: [x, logMultiplier, { max }], needs }) {
    const [gradX, gradLog] = [x, logMultiplier].map((operand, i) => (needs[i] ? allocate(operand.dtype, operand.size) : null))
    const [from, of, by] = [grad, x, logMultiplier].map(({ storage }) => hostValues(storage))
    native.requantiseBackward(from, of, by, ...sizesOf(x), max, gradX, gradLog)
    return [gradX && placed(gradX, x), gradLog && placed(gradLog, logMultiplier)]
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
