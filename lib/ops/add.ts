import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'

/** a + b, elementwise; the shapes broadcast, b may be a number. */
export const add = defineOp({
  name: 'add',
  forward: (a: Tensor, b: Operand) => combine('add', Binary.add, a, b),
  backward: (grad, { args: [a, b], needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => grad,
      () => grad,
    ),
  cases: binaryCases(),
})
