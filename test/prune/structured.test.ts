import test from 'ava'
import { Generator, nn, ones, prune, randn, tensor } from '../../lib/index.js'

const layer = (rows: number[][], bias: number[] | null = rows.map(() => 1)) => {
  const made = new nn.Linear(rows[0].length, rows.length, { bias: bias !== null })
  made.weight.data.set(rows.flat())
  if (bias !== null) made.bias!.data.set(bias)
  return made
}
const mask = (module: nn.Module, name = 'weight') => nn.maskOf(module, name)?.toArray()

test('rows and columns fall by their norm', (t) => {
  const rows = layer([
    [3, 3],
    [5, 0],
    [4, 3],
  ])
  prune.lnStructured(rows, 'weight', 1, 2, 0) // norms 4.24, 5, 5
  t.deepEqual(mask(rows), [
    [0, 0],
    [1, 1],
    [1, 1],
  ])
  prune.lnStructured(rows, 'weight', 1, Number.POSITIVE_INFINITY, -1) // of what is left: 5, 3
  t.deepEqual(mask(rows), [
    [0, 0],
    [1, 0],
    [1, 0],
  ])
})

test('the order of the norm decides', (t) => {
  const fallen = (n: number) => {
    const made = layer([
      [3, 3],
      [5, 0],
      [4.1, 1],
    ])
    prune.lnStructured(made, 'weight', 1, n, 0)
    return (mask(made) as number[][]).findIndex(([entry]) => entry === 0)
  }
  t.deepEqual([0, 1, 2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map(fallen), [1, 1, 2, 0, 1])
})

test('given scores are ranked as they are, also under a mask', (t) => {
  const made = layer([
    [1, 1],
    [2, 2],
    [3, 3],
  ])
  const importanceScores = tensor([
    [9, 9],
    [-1, 1],
    [5, 0],
  ])
  prune.lnStructured(made, 'weight', 1, 1, 0, { importanceScores })
  prune.lnStructured(made, 'weight', 1, 1, 0, { importanceScores })
  t.deepEqual(mask(made), [
    [1, 1],
    [0, 0],
    [0, 0],
  ])
})

test('fractions are of the slices that are left, or with `of` of all', (t) => {
  const made = new nn.Conv2d(2, 10, 3)
  const fallen = () => (mask(made) as number[][][][]).filter((filter) => filter.flat(2).every((entry) => entry === 0)).length
  const counts = [0.2, 0.2, 0.2].map((amount) => {
    prune.lnStructured(made, 'weight', amount, 2, 0)
    return fallen()
  })
  t.deepEqual(counts, [2, 4, 5])
  prune.lnStructured(made, 'weight', 0.7, 2, 0, { of: 'total' })
  t.is(fallen(), 7)
  prune.randomStructured(made, 'weight', 9, 0, { of: 'total' })
  t.is(fallen(), 9)
  prune.randomStructured(made, 'weight', 4, 0, { of: 'total' })
  t.is(fallen(), 9, 'more have fallen already')
})

test('a fallen filter takes its bias along where it is told to', (t) => {
  const rows = [
    [1, 1],
    [2, 2],
    [3, 3],
  ]
  const kept = layer(rows)
  prune.lnStructured(kept, 'weight', 1, 2, 0)
  t.is(mask(kept, 'bias'), undefined)
  t.deepEqual(kept.forward(ones([1, 2])).toArray(), [[1, 5, 7]])

  const made = layer(rows)
  prune.lnStructured(made, 'weight', 1, 2, 0, { bias: 'mask' })
  t.deepEqual(mask(made, 'bias'), [0, 1, 1])
  t.deepEqual(made.forward(ones([1, 2])).toArray(), [[0, 5, 7]])
  prune.randomStructured(made, 'weight', 2, 0, { bias: 'mask' })
  t.deepEqual(mask(made, 'bias'), [0, 0, 0])
  prune.remove(made, 'weight')
  prune.remove(made, 'bias')
  t.deepEqual(made.bias!.toArray(), [0, 0, 0])

  const earlier = layer(rows)
  prune.l1Unstructured(earlier, 'bias', 1)
  prune.lnStructured(earlier, 'weight', 1, 2, 0, { bias: 'mask' })
  t.deepEqual(mask(earlier, 'bias'), [0, 1, 1], 'what fell of the bias before stays fallen')

  const without = layer(rows, null)
  prune.lnStructured(without, 'weight', 1, 2, 0, { bias: 'mask' })
  t.deepEqual(mask(without), [
    [0, 0],
    [1, 1],
    [1, 1],
  ])

  const transposed = new nn.ConvTranspose2d(2, 3, 2)
  prune.lnStructured(transposed, 'weight', 1, 2, 1, { bias: 'mask' })
  t.is(
    (mask(transposed, 'bias') as number[]).reduce((sum, entry) => sum + entry, 0),
    2,
  )
})

test('a bias can only fall with filters; nothing changes otherwise', (t) => {
  const made = new nn.Conv2d(3, 3, 2)
  t.throws(() => prune.lnStructured(made, 'weight', 1, 2, 1, { bias: 'mask' }), { code: 'INVALID_ARGUMENT' })
  t.throws(() => prune.lnStructured(made, 'weight', 1, 2, 0, { bias: 'drop' as never }), { code: 'INVALID_ARGUMENT' })
  t.throws(() => prune.lnStructured(new nn.ConvTranspose2d(3, 3, 2), 'weight', 1, 2, 0, { bias: 'mask' }), { code: 'INVALID_ARGUMENT' })
  t.throws(() => prune.lnStructured(new nn.ConvTranspose2d(4, 4, 2, { groups: 2 }), 'weight', 1, 2, 1, { bias: 'mask' }), { code: 'SHAPE_MISMATCH' })
  const taken = new nn.Conv2d(3, 3, 2)
  taken.registerBuffer('bias_mask', ones([3]))
  t.throws(() => prune.lnStructured(taken, 'weight', 1, 2, 0, { bias: 'mask' }), { code: 'STATE' })
  for (const module of [made, taken]) t.false(prune.isPruned(module))
})

test('a seed fixes what falls by lot; every slice is as likely', (t) => {
  const draw = (seed: number) => {
    const made = new nn.Conv2d(3, 8, 3)
    prune.randomStructured(made, 'weight', 3, 0, { generator: new Generator(seed) })
    prune.randomUnstructured(made, 'weight', 0.5, { generator: new Generator(seed) })
    return String(mask(made))
  }
  t.is(draw(5), draw(5))
  t.not(draw(5), draw(6))
  const generator = new Generator(1)
  const falls = [0, 0, 0, 0]
  for (let i = 0; i < 2000; i++) {
    const made = layer([[9, 9, 0, 0]])
    prune.randomStructured(made, 'weight', 1, 1, { generator })
    falls[(mask(made) as number[][])[0].indexOf(0)]++
  }
  // 500 each, deviation 19.
  for (const count of falls) t.true(Math.abs(count - 500) < 100, String(falls))
})

test('a refused call draws nothing', (t) => {
  const generator = new Generator(3)
  const made = layer([[1, 2, 3]])
  t.throws(() => prune.randomUnstructured(made, 'weight', 4, { generator }))
  t.throws(() => prune.randomStructured(made, 'weight', 1, 2, { generator }))
  t.deepEqual(generator.state, new Generator(3).state)
})

test('slices of tensors without elements', (t) => {
  const none = new nn.Linear(0, 3)
  prune.lnStructured(none, 'weight', 2, 2, 0)
  prune.l1Unstructured(none, 'weight', prune.fraction(1))
  t.is(none.forward(randn([2, 0])).size, 6)
  const empty = new nn.Linear(3, 0)
  prune.randomStructured(empty, 'weight', prune.fraction(0.5), 0)
  t.throws(() => prune.lnStructured(empty, 'weight', 1, 1, 0), { code: 'INVALID_ARGUMENT' })
  t.throws(() => prune.lnStructured(empty, 'weight', 2, 1, 1), { message: /0 of 3 are left/ }, 'its columns have nothing left')
  prune.lnStructured(new nn.Linear(3, 0), 'weight', 2, 1, 1)
  prune.globalUnstructured(
    [
      [none, 'weight'],
      [layer([[1, 2]]), 'weight'],
      [new nn.Linear(3, 0), 'weight'],
    ],
    { method: prune.L1Unstructured, amount: 0.5 },
  )
})
