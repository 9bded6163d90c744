import { defineOp } from '../autograd/index.js'
import { Binary, native, realNumber } from '../native/index.js'
import { defaultGenerator, empty, Generator, type Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { floatTensor } from './operand.js'
import { reshaped } from './strided.js'

export interface DropoutOptions {
  /** The probability of an element's being dropped. Default 0.5. */
  p?: number
  /** Otherwise x is given back as it is. Default true. */
  training?: boolean
  /** What draws; by default the default generator. */
  generator?: Generator
}

/** Each element 0 with probability p, the others divided by 1 − p. Srivastava et al. 2014. */
export const dropout = defineOp({
  name: 'dropout',
  forward(x: Tensor, { p = 0.5, training = true, generator = defaultGenerator }: DropoutOptions = {}) {
    floatTensor('dropout', 'x', x)
    realNumber('dropout: p', p, 0, 1)
    if (!training || p === 0) return { output: reshaped(x, x.shape), saved: null }
    const factors = generator.bernoulli(x.shape, { p: 1 - p, value: p === 1 ? 0 : 1 / (1 - p), dtype: x.dtype })
    return { output: product(x, factors), saved: factors }
  },
  backward: (grad, { saved: factors }) => [factors === null ? grad : product(grad, factors)],
  cases: (sample) =>
    elementwiseShapes.map((shape, i): [Tensor, DropoutOptions] => [
      sample(shape),
      {
        p: [0.5, 0.1, 0, 1][i % 4],
        training: i % 5 !== 4,
        // A fresh one a call: the numeric gradient calls again and must meet the same mask.
        get generator() {
          return new Generator(i)
        },
      },
    ]),
})

function product(a: Tensor, b: Tensor): Tensor {
  const y = empty(a.shape, a.dtype)
  native.binaryForward(Binary.mul, a.storage, b.storage, y.storage)
  return y
}
