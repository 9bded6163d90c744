import test from 'ava'
import { nn, optim, prune, tensor } from '../../lib/index.js'

const layer = (values: number[], rows = 1) => {
  const made = new nn.Linear(values.length / rows, rows)
  made.weight.data.set(values)
  return made
}
const zeros = (module: nn.Module) => (nn.maskOf(module, 'weight')?.data ?? []).filter((entry: number) => entry === 0).length

test('the smallest fall, of equal ones the lower index first', (t) => {
  const made = layer([3, -1, 2, 1, -1])
  prune.l1Unstructured(made, 'weight', 2)
  t.deepEqual([...nn.maskOf(made, 'weight')!.data], [1, 0, 1, 0, 1])
  t.deepEqual([...made.effective('weight').data].map(Math.abs), [3, 0, 2, 0, 1])
})

test('fractions round half to even and compound on what remains', (t) => {
  for (const [size, share, fallen] of [
    [5, 0.5, 2],
    [7, 0.5, 4],
    [20, 0.025, 0],
    [50, 0.29, 14],
  ]) {
    const made = layer(Array.from({ length: size }, (_, i) => i + 1))
    prune.l1Unstructured(made, 'weight', share)
    t.is(zeros(made), fallen)
  }
  const made = layer(Array.from({ length: 100 }, (_, i) => Math.sin(i + 1)))
  const counts = [0, 0, 0, 0].map(() => zeros(prune.l1Unstructured(made, 'weight', 0.2)))
  t.deepEqual(counts, [20, 36, 49, 59])
  const whole = layer(Array.from({ length: 1000 }, (_, i) => Math.sin(i + 1)))
  t.deepEqual(
    [1, 2, 3, 4, 5, 6, 7, 8].map((tenths) => zeros(prune.l1Unstructured(whole, 'weight', prune.fraction(tenths / 10, { of: 'total' })))),
    [100, 200, 300, 400, 500, 600, 700, 800],
  )
})

test('1 is one unit, everything is fraction(1), 0 prunes nothing but pruning begins', (t) => {
  const made = layer([1, 2, 3])
  t.is(zeros(prune.l1Unstructured(made, 'weight', 0)), 0)
  t.true(prune.isPruned(made))
  t.is(zeros(prune.l1Unstructured(made, 'weight', 1)), 1)
  t.is(zeros(prune.l1Unstructured(made, 'weight', prune.fraction(1))), 3)
})

test('the current weight is ranked, not the one of the last forward pass', (t) => {
  const made = layer([1, 2, 3])
  prune.l1Unstructured(made, 'weight', 0)
  made.forward(tensor([[1, 1, 1]]))
  made.latentWeight('weight').data.set([9, 8, 7])
  prune.l1Unstructured(made, 'weight', 1)
  t.deepEqual([...nn.maskOf(made, 'weight')!.data], [1, 1, 0])
})

test('a mask that is not binary scales: its entries below 1 neither count nor fall', (t) => {
  const made = layer([1, 2, 3, 4])
  nn.setMask(made, 'weight', tensor([[0.5, 1, 1, 1]]))
  prune.l1Unstructured(made, 'weight', prune.fraction(0.34))
  t.deepEqual([...nn.maskOf(made, 'weight')!.data], [0.5, 0, 1, 1])
})

test('given scores rank by their magnitude', (t) => {
  const made = layer([1, 2, 3])
  prune.l1Unstructured(made, 'weight', 1, { importanceScores: tensor([[-9, 2, 1]]) })
  t.deepEqual([...nn.maskOf(made, 'weight')!.data], [1, 1, 0])
})

test('remove makes the zeros ordinary weights; isPruned sees through containers', (t) => {
  const made = layer([1, 2, 3])
  const net = new nn.Sequential(new nn.ReLU(), made)
  t.false(prune.isPruned(net))
  prune.l1Unstructured(made, 'weight', 1)
  t.true(prune.isPruned(net))
  t.deepEqual(Object.keys(net.stateDict()), ['1.bias', '1.weight_orig', '1.weight_mask'])
  prune.remove(made, 'weight')
  t.false(prune.isPruned(net))
  t.deepEqual([...made.weight.data], [0, 2, 3])
})

test('masked entries receive no gradient; decay still moves them, the effective weight stays 0', (t) => {
  const made = layer([1, 2, 3])
  const optimizer = new optim.SGD(made.parameters(), { lr: 0.1, weightDecay: 1 })
  prune.l1Unstructured(made, 'weight', 1)
  made.forward(tensor([[1, 1, 1]])).backward()
  t.is(made.latentWeight('weight').grad!.data[0], 0)
  optimizer.step()
  t.true(Math.abs(made.latentWeight('weight').data[0] - 0.9) < 1e-6)
  t.is(made.effective('weight').data[0], 0)
})

test('what cannot be is an error, and the module is as it was', (t) => {
  const made = layer([1, 2, 3])
  prune.l1Unstructured(made, 'weight', 1)
  const before = JSON.stringify([...nn.maskOf(made, 'weight')!.data])
  for (const bad of [
    () => prune.l1Unstructured(made, 'weight', 3),
    () => prune.l1Unstructured(made, 'weight', -1),
    () => prune.l1Unstructured(made, 'weight', 1.5),
    () => prune.l1Unstructured(made, 'weight', Number.NaN),
    () => prune.l1Unstructured(made, 'weight', '0.3' as never),
    () => prune.l1Unstructured(made, 'wait', 1),
    () => prune.l1Unstructured({} as never, 'weight', 1),
    () => prune.l1Unstructured(made, 'weight', 1, { importanceScores: tensor([1, 2, 3]) }),
    () => prune.l1Unstructured(made, 'weight', 1, { importanceScores: tensor([[1, Number.NaN, 3]]) }),
    () => prune.fraction(1.1),
    () => prune.fraction(0.5, { of: 'all' as never }),
    () => prune.count(-1),
    () => prune.remove(made, 'bias'),
  ])
    t.throws(bad, { name: 'EspalierError' }, String(bad))
  t.is(JSON.stringify([...nn.maskOf(made, 'weight')!.data]), before)
  const fresh = layer([1, Number.NaN, 3])
  t.throws(() => prune.l1Unstructured(fresh, 'weight', 1), { message: /NaN/ })
  t.false(prune.isPruned(fresh))
})
