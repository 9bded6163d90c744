import { defineOp } from '../autograd/index.js'
import type { Tensor } from '../tensor/index.js'
import { Binary, combine, type Operand, operandGradients } from './binary.js'
import { binaryCases } from './cases.js'
import { negated } from './unary.js'
/** a − b, elementwise; the shapes broadcast, b may be a number. */
export const sub = defineOp({
  name: 'sub',
  forward: (a: Tensor, b: Operand) => combine('sub', Binary.sub, a, b),
  backward: (grad, { args: [a, b], needs }) =>
    operandGradients(
      needs,
      a,
      b,
      () => grad,
      () => negated(grad),
    ),
  cases: binaryCases(),
})
