import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'

/** The larger of a and b, elementwise; the shapes broadcast, b may be a number. Equal operands share the gradient. */
export const maximum = defineOp({
  name: 'maximum',
  forward: (a: Tensor, b: Operand) => combine('maximum', Binary.maximum, a, b),
  backward: (grad, { args: [a, b], needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => combine('maximum', Binary.mul, grad, combine('maximum', Binary.greater, a, b)),
      (other) => combine('maximum', Binary.mul, grad, combine('maximum', Binary.greater, other, a)),
    ),
  cases: binaryCases({ apart: true }),
})
