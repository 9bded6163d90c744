import test from 'ava'
import { type Node, operations } from '../../lib/autograd/index.js'
import '../../lib/index.js'
import { ones, Tensor } from '../../lib/tensor/index.js'
import { sampler } from '../support/gradcheck.js'

// The backward walk reuses the storage that rules return. So spoiling it must not change what a rule,
// asked again, gives: its storage is new, or the incoming gradient's own, whole.
for (const [name, op] of operations) {
  if (op.spec.backward === undefined) continue
  test(`${name}: gradients have storage of their own`, (t) => {
    for (const args of op.spec.cases(sampler(1)).slice(0, 12)) {
      const output = (op as unknown as (...args: unknown[]) => Tensor)(...args)
      const { backward } = (output.origin ?? {}) as Node
      if (backward === undefined) continue
      const before = output.copy()
      const seed = ones(output.shape, { dtype: output.dtype })
      const first = backward(seed)
      const values = first.map((part) => part?.copy())
      for (const part of first) if (part && part.data !== seed.data) part.data.fill(Number.NaN)
      t.deepEqual(output.data, before.data)
      t.true(seed.data.every((value) => value === 1))
      for (const [i, part] of backward(seed).entries()) t.deepEqual(part?.data, values[i]?.data)
      const inputs = (args as unknown as unknown[]).flat().filter((item): item is Tensor => item instanceof Tensor)
      for (const input of inputs) t.false(input.data.some(Number.isNaN))
    }
  })
}
