import { asTensor, defineOp } from '../autograd/index.js'
import { aloneIn, gathered, type KeptEntries, scattered, Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'

/**
 * The entries of x that a mask keeps, one after the other: [kept]. Their gradient comes back as one of x's shape,
 * 0 at the others, which on the CPU holds the kept alone until someone looks at it.
 */
export const kept = defineOp({
  name: 'kept',
  forward(x: Tensor, entries: KeptEntries) {
    asTensor('kept', 'x', x)
    // (Held alone, they are what optimisers write to, as any parameter is that an operation reads.)
    const present = aloneIn(x, entries)
    return present === null ? gathered(x, entries) : new Tensor(present.storage, present.shape, present.dtype)
  },
  backward: (grad, { args: [, entries] }) => [scattered(grad, entries)],
  cases: (sample) =>
    elementwiseShapes.map((shape, i): [Tensor, KeptEntries] => {
      const x = sample(shape)
      const positions = Int32Array.from(x.data.keys()).filter((at) => (at * 5 + i) % 3 === 0)
      const mask = new Float64Array(x.size)
      for (const at of positions) mask[at] = 1
      return [x, { shape, positions, mask: new Tensor(mask, shape, 'float64') }]
    }),
})
