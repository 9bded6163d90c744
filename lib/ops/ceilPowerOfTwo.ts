import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine } from './binary.js'
import { elementwiseShapes } from './cases.js'
import { onHost } from './onHost.js'
import { floatTensor } from './operand.js'

/**
 * The least power of two that is not below x, elementwise; x > 0. The gradient passes straight through
 * the rounding of log₂ x, so that dy/dx = y/x. For few elements. Thresholds of quantisers whose scale
 * is a shift; Brevitas' power-of-two scaling.
 */
export const ceilPowerOfTwo = defineOp({
  name: 'ceil_power_of_two',
  forward(x: Tensor) {
    floatTensor('ceilPowerOfTwo', 'x', x)
    return onHost(x, leastPowerOf)
  },
  backward: (grad, { args: [x], output }) => [combine('ceilPowerOfTwo', Binary.mul, grad, combine('ceilPowerOfTwo', Binary.div, output, x))],
  // Rounding has no useful derivative: see test/ops/rounding.test.ts for what the rule must give.
  estimator: true,
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape, { min: 0.2, max: 3 })]),
})

/** Exact: a logarithm may round a power of two to the next exponent. */
function leastPowerOf(value: number): number {
  const near = 2 ** Math.ceil(Math.log2(value))
  return near / 2 >= value ? near / 2 : near < value ? near * 2 : near
}
