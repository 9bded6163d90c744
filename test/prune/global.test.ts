import test from 'ava'
import { Generator, nn, ops, prune, type Tensor, tensor } from '../../lib/index.js'

const layer = (values: number[]) => {
  const made = new nn.Linear(values.length, 1)
  made.weight.data.set(values)
  return made
}
const mask = (module: nn.Module) => Array.from(nn.maskOf(module, 'weight')?.data ?? [])
const weights = (...layers: nn.Module[]) => layers.map((module): prune.Pair => [module, 'weight'])
const method = prune.L1Unstructured

test('the survivors of all are ranked together', (t) => {
  const [a, b] = [layer([5, 1, 4]), layer([2, -3, 6])]
  prune.globalUnstructured(weights(a, b), { method, amount: 3 })
  t.deepEqual(
    [mask(a), mask(b)],
    [
      [1, 0, 1],
      [0, 0, 1],
    ],
  )
  prune.globalUnstructured(weights(a, b), { method, amount: prune.fraction(0.34) })
  t.deepEqual(
    [mask(a), mask(b)],
    [
      [1, 0, 0],
      [0, 0, 1],
    ],
  )
})

test('rising amounts compound on what remains, or reach the total they name', (t) => {
  const reached = (of?: 'total') => {
    const [a, b] = [0, 1].map((shift) => layer(Array.from({ length: 500 }, (_, i) => Math.sin(2 * i + shift + 1))))
    return [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8].map((amount) => {
      prune.globalUnstructured(weights(a, b), { method, amount, of })
      return [...mask(a), ...mask(b)].filter((entry) => entry === 0).length
    })
  }
  t.deepEqual(
    reached().map((zeros) => Math.round(zeros) / 1000),
    [0.1, 0.28, 0.496, 0.698, 0.849, 0.94, 0.982, 0.996],
  )
  t.deepEqual(reached('total'), [100, 200, 300, 400, 500, 600, 700, 800])
})

test('scores may stand in for some of the weights', (t) => {
  const [a, b] = [layer([5, 1, 4]), layer([2, 3, 6])]
  prune.globalUnstructured(weights(a, b), { method, amount: 3, importanceScores: new Map([[b, { weight: tensor([[0, -9, 0.5]]) }]]) })
  t.deepEqual(
    [mask(a), mask(b)],
    [
      [1, 0, 1],
      [0, 1, 0],
    ],
  )
})

test('by lot, from a seed', (t) => {
  const draw = (seed: number) => {
    const [a, b] = [layer([1, 2, 3, 4, 5, 6]), layer([1, 2, 3, 4])]
    prune.globalUnstructured(weights(a, b), { method: prune.RandomUnstructured, amount: 0.5, generator: new Generator(seed) })
    return [...mask(a), ...mask(b)]
  }
  t.deepEqual(draw(1), draw(1))
  t.is(draw(1).filter((entry) => entry === 0).length, 5)
})

test('all or nothing over several tensors', (t) => {
  const [a, b] = [layer([5, 1, 4]), layer([2, 3, 6])]
  prune.l1Unstructured(a, 'weight', 1)
  const before = mask(a)
  const taken = layer([1, 2, 3])
  taken.registerBuffer('weight_mask', tensor([[1, 1, 1]]))
  const wide = layer([1, 2, 3]).to('float64')
  for (const bad of [
    () => prune.globalUnstructured(weights(a, b), { method, amount: 6 }),
    () => prune.globalUnstructured(weights(a, b), { method, amount: 0.5, of: 'all' as never }),
    () => prune.globalUnstructured(weights(a, b), { method, amount: prune.fraction(0.5), of: 'total' }),
    () => prune.globalUnstructured([], { method, amount: 0 }),
    () => prune.globalUnstructured(weights(a, a), { method, amount: 1 }),
    () => prune.globalUnstructured([...weights(a), [b, 'kernel']], { method, amount: 1 }),
    () => prune.globalUnstructured([...weights(a), b] as never, { method, amount: 1 }),
    () => prune.globalUnstructured(weights(a, taken), { method, amount: 1 }),
    () => prune.globalUnstructured(weights(a, wide), { method, amount: 1 }),
    () => prune.globalUnstructured(weights(a, layer([1, Number.NaN])), { method, amount: 1 }),
    () => prune.globalUnstructured(weights(a, b), { method: prune.RandomStructured as never, amount: 1 }),
    () => prune.globalUnstructured(weights(a, b), { method: (() => {}) as never, amount: 1 }),
    () => prune.globalUnstructured(weights(a, b), { method: undefined as never, amount: 1 }),
    () => prune.globalUnstructured(weights(a, b), { method, amount: 1, importanceScores: new Map([[b, { weight: tensor([1]) }]]) }),
    () => prune.globalUnstructured(weights(a, b), undefined as never),
    () => prune.pruneWeights(weights(a, b), undefined as never),
    () => prune.pruneWeights(weights(a, b), { amount: 1, score: null as never }),
    () => prune.pruneWeights(weights(a, b), { amount: 1, structure: 'row' as never }),
    () => prune.pruneWeights(weights(a, taken), { amount: 1 }),
    () => prune.pruneWeights(weights(a, b), { amount: 1, score: { name: 'flat', of: () => tensor([1]), magnitude: true } }),
    () => prune.pruneWeights(weights(a, b), { amount: 1, score: { name: 'none', of: () => null as never, magnitude: true } }),
    () => prune.pruneWeights(weights(a, b), { amount: { name: 'half', of: () => 0.5 } }),
  ]) {
    t.throws(bad, { name: 'EspalierError' }, String(bad))
    t.deepEqual(mask(a), before)
    t.false(
      [b, taken, wide].some((module) => prune.isPruned(module)),
      String(bad),
    )
  }
})

test('pruneWeights joins any parts: a score that a reader writes, slices of several layers ranked together', (t) => {
  const [a, b] = [new nn.Linear(2, 2), new nn.Linear(2, 2)]
  a.weight.data.set([1, 1, 3, -3])
  b.weight.data.set([2, 2, 0.5, 0.5])
  const score: prune.Score = { name: 'sum', of: (weight: Tensor) => ops.mul(weight, 1), magnitude: false }
  prune.pruneWeights(weights(a, b), { score, structure: prune.slice(0), amount: 2 }) // sums 2, 0, 4, 1
  t.deepEqual(
    [mask(a), mask(b)],
    [
      [1, 1, 0, 0],
      [1, 1, 0, 0],
    ],
  )
  t.is(a.latentWeight('weight').origin, null)
})
