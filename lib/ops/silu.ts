import { defineOp } from '../autograd/index.js'
import { Unary } from '../native/index.js'
import type { Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { backward, forward } from './unary.js'

/** x / (1 + e⁻ˣ), elementwise, also called swish. Elfwing et al. 2017. */
export const silu = defineOp({
  name: 'silu',
  forward: (x: Tensor) => forward('silu', Unary.silu, x),
  backward: (grad, { args: [x], output }, own) => backward(Unary.silu, grad, own, x, output),
  cases: (sample) => elementwiseShapes.map((shape) => [sample(shape)]),
})
