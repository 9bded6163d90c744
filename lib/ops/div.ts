import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'
import { negated } from './unary.js'
/** a / b, elementwise; the shapes broadcast, b may be a number. */
export const div = defineOp({
  name: 'div',
  forward: (a: Tensor, b: Operand) => combine('div', Binary.div, a, b),
  backward: (grad, { args: [a, b], output, needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => combine('div', Binary.div, grad, b),
      (divisor) => negated(combine('div', Binary.div, combine('div', Binary.mul, grad, output), divisor)),
    ),
  cases: binaryCases(),
})
