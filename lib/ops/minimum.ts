import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'

/** The smaller of a and b, elementwise; the shapes broadcast, b may be a number. Equal operands share the gradient. */
export const minimum = defineOp({
  name: 'minimum',
  forward: (a: Tensor, b: Operand) => combine('minimum', Binary.minimum, a, b),
  backward: (grad, { args: [a, b], needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => combine('minimum', Binary.sub, grad, combine('minimum', Binary.mul, grad, combine('minimum', Binary.greater, a, b))),
      (other) => combine('minimum', Binary.sub, grad, combine('minimum', Binary.mul, grad, combine('minimum', Binary.greater, other, a))),
    ),
  cases: binaryCases({ apart: true }),
})
