import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'

/** a · b, elementwise; the shapes broadcast, b may be a number. */
export const mul = defineOp({
  name: 'mul',
  forward: (a: Tensor, b: Operand) => combine('mul', Binary.mul, a, b),
  backward: (grad, { args: [a, b], needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => combine('mul', Binary.mul, grad, b),
      () => combine('mul', Binary.mul, grad, a),
    ),
  cases: binaryCases(),
})
