import test from 'ava'
import { nn, ones, prune, type Tensor, tensor } from '../../lib/index.js'

const layer = (values: number[]) => {
  const made = new nn.Linear(values.length, 1)
  made.weight.data.set(values)
  return made
}
const mask = (module: nn.Module) => Array.from(nn.maskOf(module, 'weight')?.data ?? [])

test('computeMask looks at a whole tensor, prune at what the mask makes of it', (t) => {
  const method = new prune.L1Unstructured(2)
  const weight = tensor([4, 1, 3, 2])
  t.deepEqual(method.computeMask(weight, ones([4])).toArray(), [1, 0, 1, 0])
  t.deepEqual(method.computeMask(weight, tensor([0, 1, 1, 1])).toArray(), [0, 0, 1, 0], 'counts all entries, whatever the mask')
  t.deepEqual(method.prune(weight).toArray(), [4, 0, 3, 0])
  t.deepEqual(method.prune(weight, tensor([0, 1, 1, 1])).toArray(), [0, 0, 3, 0])
  t.deepEqual(method.prune(weight, undefined, tensor([1, 9, 2, -9])).toArray(), [0, 1, 0, 2])
  t.throws(() => method.prune(weight, ones([3])), { code: 'SHAPE_MISMATCH' })
  t.throws(() => method.prune(weight, undefined, ones([3])), { code: 'SHAPE_MISMATCH' })
})

test('classes apply as the functions do', (t) => {
  const [a, b] = [new nn.Conv2d(2, 4, 3), new nn.Conv2d(2, 4, 3)]
  b.loadStateDict(a.stateDict())
  prune.l1Unstructured(a, 'weight', 0.3)
  prune.lnStructured(a, 'weight', 1, 2, 1)
  new prune.L1Unstructured(0.3).apply(b, 'weight')
  new prune.LnStructured(1, 2, 1).apply(b, 'weight')
  t.deepEqual(mask(a), mask(b))
  t.is(new prune.LnStructured(1, 2).dim, -1)
  t.is(new prune.RandomStructured(1).dim, -1)
})

test('a container lets its last method act on what the mask left', (t) => {
  const container = new prune.PruningContainer(new prune.L1Unstructured(2))
  t.is(container.length, 1)
  container.addPruningMethod(new prune.L1Unstructured(1))
  t.deepEqual(
    [...container].map((method) => method.constructor.name),
    ['L1Unstructured', 'L1Unstructured'],
  )
  t.is(container.at(-1), [...container][1])
  t.deepEqual(container.computeMask(tensor([4, 1, 3, 2]), tensor([1, 0, 1, 0])).toArray(), [1, 0, 0, 0])
  const slices = new prune.PruningContainer(new prune.LnStructured(1, 1, 0))
  const weight = tensor([
    [1, 1],
    [0, 0],
    [2, 2],
  ])
  const left = tensor([
    [1, 1],
    [0, 0],
    [1, 1],
  ])
  t.deepEqual(slices.computeMask(weight, left).toArray(), [
    [0, 0],
    [0, 0],
    [1, 1],
  ])
  t.throws(() => container.addPruningMethod({} as never), { code: 'INVALID_ARGUMENT' })
  t.throws(() => new prune.PruningContainer().computeMask(weight, left), { code: 'STATE' })
})

test('identity takes on the names and prunes nothing; a mask stays as it is', (t) => {
  const made = layer([1, 2])
  prune.identity(made, 'weight')
  t.deepEqual(Object.keys(made.stateDict()), ['bias', 'weight_orig', 'weight_mask'])
  t.deepEqual(mask(made), [1, 1])
  nn.setMask(made, 'weight', tensor([[0.5, 0]]))
  prune.identity(made, 'weight')
  t.deepEqual(mask(made), [0.5, 0])
  t.deepEqual(new prune.Identity().prune(tensor([1, 2])).toArray(), [1, 2])
})

test('a custom mask never revives, and scales where it is not binary', (t) => {
  const made = layer([1, 2, 3])
  prune.customFromMask(made, 'weight', tensor(new Uint8Array([0, 1, 1]), [1, 3]))
  prune.customFromMask(made, 'weight', tensor([[1, 1, 0.5]]))
  t.deepEqual(mask(made), [0, 1, 0.5])
  t.deepEqual(made.effective('weight').toArray(), [[0, 2, 1.5]])
  for (const bad of [tensor([1, 1, 1]), tensor([[1, Number.NaN, 1]]), [1, 1, 1]])
    t.throws(() => prune.customFromMask(made, 'weight', bad as Tensor), { name: 'EspalierError' })
  t.deepEqual(mask(made), [0, 1, 0.5])
})

test('a method that gives a mask of another shape is refused', (t) => {
  class Wrong extends prune.BasePruningMethod {
    readonly pruningType = 'unstructured'
    computeMask(): Tensor {
      return ones([7])
    }
  }
  const made = layer([1, 2])
  t.throws(() => new Wrong().apply(made, 'weight'), { code: 'SHAPE_MISMATCH' })
  t.false(prune.isPruned(made))
  prune.identity(made, 'weight')
  t.throws(() => new Wrong().apply(made, 'weight'), { code: 'SHAPE_MISMATCH' })
  t.deepEqual(mask(made), [1, 1])
})

test('a clone in the middle of pruning goes its own way, and a saved state comes back', (t) => {
  const made = layer([1, 2, 3, 4])
  prune.l1Unstructured(made, 'weight', 1)
  const copy = made.clone()
  prune.l1Unstructured(copy, 'weight', 1)
  t.deepEqual(
    [mask(made), mask(copy)],
    [
      [0, 1, 1, 1],
      [0, 0, 1, 1],
    ],
  )
  const other = layer([0, 0, 0, 0])
  prune.identity(other, 'weight')
  other.loadStateDict(copy.stateDict())
  t.deepEqual(other.effective('weight').toArray(), [[0, 0, 3, 4]])
})
