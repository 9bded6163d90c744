import test from 'ava'
import { nn, optim, type Tensor, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const parameter = (values: readonly number[] | Float32Array): Tensor => tensor(Float32Array.from(values), { requiresGrad: true })

/** One of each kind, with every part of its rule at work. */
const kinds = {
  sgd: (params: Tensor[]) => new optim.SGD(params, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 }),
  nesterov: (params: Tensor[]) => new optim.SGD(params, { lr: 0.1, momentum: 0.9, nesterov: true }),
  adam: (params: Tensor[]) => new optim.Adam(params, { lr: 0.01, amsgrad: true, weightDecay: 0.01 }),
  adamw: (params: Tensor[]) => new optim.AdamW(params, { lr: 0.01 }),
  rmsprop: (params: Tensor[]) => new optim.RMSprop(params, { lr: 0.01, centered: true, momentum: 0.5 }),
}

function steps(make: (params: Tensor[]) => optim.Optimizer<{ lr: number }>, n: number, count: number, mask?: Tensor, freeze?: boolean): number[] {
  const random = randomSource(11)
  const w = parameter(Float32Array.from({ length: n }, () => random() - 0.5))
  const optimizer = make([w])
  if (mask) optimizer.setMask(w, mask, { freeze })
  for (let i = 0; i < count; i++) {
    w.grad = tensor(Float32Array.from({ length: n }, () => random() - 0.5))
    optimizer.step()
  }
  return [...w.data]
}

for (const [name, make] of Object.entries(kinds) as [string, (params: Tensor[]) => never][]) {
  test(`${name}: each entry is updated by itself, at any length`, (t) => {
    // The tail of a vector takes another path than its middle: entry i must not notice.
    const long = steps(make, 67, 1)
    const random = randomSource(11)
    const start = Float32Array.from({ length: 67 }, () => random() - 0.5)
    const gradient = Float32Array.from({ length: 67 }, () => random() - 0.5)
    for (let i = 0; i < 67; i++) {
      const w = parameter([start[i]])
      const optimizer = make([w]) as optim.Optimizer<{ lr: number }>
      w.grad = parameter([gradient[i]])
      optimizer.step()
      t.is(w.data[0], long[i])
    }
  })

  test(`${name}: a frozen entry stays, the others move as without a mask`, (t) => {
    const n = 100
    const mask = tensor(Float32Array.from({ length: n }, (_, i) => i % 3))
    const free = steps(make, n, 4)
    const start = steps(make, n, 0)
    const masked = steps(make, n, 4, mask)
    t.deepEqual(
      masked,
      free.map((value, i) => (i % 3 === 0 ? start[i] : value)),
    )
  })

  test(`${name}: a saved state goes on where it stopped`, (t) => {
    const random = randomSource(3)
    const gradients = Array.from({ length: 6 }, () => tensor(Float32Array.from({ length: 20 }, () => random() - 0.5)))
    const run = (optimizer: optim.Optimizer<{ lr: number }>, w: Tensor, list: Tensor[]) => {
      for (const gradient of list) {
        w.grad = gradient
        optimizer.step()
      }
    }
    const w = parameter(new Float32Array(20).fill(1))
    const whole = make([w]) as optim.Optimizer<{ lr: number }>
    run(whole, w, gradients)
    const v = parameter(new Float32Array(20).fill(1))
    const first = make([v]) as optim.Optimizer<{ lr: number }>
    run(first, v, gradients.slice(0, 3))
    first.paramGroups[0].lr *= 1
    const saved = first.stateDict()
    run(first, v.copy(), [])
    const second = make([v]) as optim.Optimizer<{ lr: number }>
    second.loadStateDict(saved)
    run(second, v, gradients.slice(3))
    t.deepEqual([...v.data], [...w.data])
  })

  test.serial(`${name}: the bits do not depend on the threads`, (t) => {
    const before = native.threads()
    const results = [1, 2, 3, 8].map((count) => {
      native.setThreads(count)
      return steps(make, 50_001, 2)
    })
    native.setThreads(before)
    for (const result of results) t.deepEqual(result, results[0])
  })
}

test('a mask on the gradient leaves decay and momentum at work', (t) => {
  const w = parameter([1, 1])
  const optimizer = new optim.SGD([w], { lr: 0.5, weightDecay: 0.5 })
  optimizer.setMask(w, tensor([0, 1]), { freeze: false })
  w.grad = tensor([1, 1])
  optimizer.step()
  t.deepEqual([...w.data], [0.75, 0.25])
  optimizer.setMask(w, null)
  optimizer.step()
  t.deepEqual([...w.data], [0.0625, -0.3125])
})

test('maximize climbs; a centered variance that rounds below 0 is no NaN', (t) => {
  const w = parameter([0])
  const optimizer = new optim.SGD([w], { lr: 1, maximize: true })
  w.grad = tensor([2])
  optimizer.step()
  t.is(w.data[0], 2)

  const v = parameter(new Float32Array(64).fill(1))
  const centered = new optim.RMSprop([v], { alpha: 0.5, centered: true })
  for (let i = 0; i < 60; i++) {
    v.grad = tensor(Float32Array.from({ length: 64 }, (_, j) => 0.1 + j / 7))
    centered.step()
  }
  t.true(v.data.every(Number.isFinite))
})

test('running means follow a parameter to another dtype; a mask must be set anew', (t) => {
  const layer = new nn.Linear(2, 1, { bias: false })
  const optimizer = new optim.Adam(layer.parameters())
  const step = (dtype: 'float32' | 'float64') => {
    layer.weight.grad = tensor([[1, -1]], { dtype })
    optimizer.step()
  }
  step('float32')
  layer.to('float64')
  step('float64')
  t.deepEqual(
    Object.values(optimizer.state.get(layer.weight)!.slots).map(({ dtype }) => dtype),
    ['float64', 'float64'],
  )
  optimizer.setMask(layer.weight, tensor([[0, 1]], { dtype: 'float64' }))
  layer.to('float32')
  t.throws(() => step('float32'), { code: 'DTYPE_MISMATCH' })
})

test('groups have settings of their own', (t) => {
  const [a, b, c] = [parameter([0]), parameter([0]), parameter([0])]
  const optimizer = new optim.SGD([{ params: [a] }, { params: b, lr: 2 }], { lr: 1 })
  optimizer.addParamGroup({ params: [c], lr: 3 })
  for (const w of [a, b, c]) w.grad = tensor([-1])
  optimizer.step()
  t.deepEqual(
    [a, b, c].map((w) => w.data[0]),
    [1, 2, 3],
  )
  optimizer.zeroGrad()
  t.is(a.grad, null)
  optimizer.step() // without gradients nothing moves
  t.is(a.data[0], 1)
})

test('what cannot be is an error, and changes nothing', (t) => {
  const [a, b] = [parameter([1, 2]), parameter([3])]
  const make =
    (options: object, params: unknown = [a, b]) =>
    () =>
      new optim.SGD(params as Tensor[], options as { lr: number })
  for (const bad of [
    make({}),
    make({ lr: -1 }),
    make({ lr: Number.NaN }),
    make({ lr: 1, weight_decay: 1 }),
    make({ lr: 1, nesterov: true }),
    make({ lr: 1, nesterov: 1 }),
    make({ lr: 1 }, []),
    make({ lr: 1 }, [a, a]),
    make({ lr: 1 }, [a, { params: [b] }]),
    make({ lr: 1 }, [3]),
    make({ lr: 1 }, 3),
    make({ lr: 1 }, [tensor(Int32Array.of(1))]),
    () => new optim.Adam([a], { betas: [0.9, 1] }),
    () => new optim.Adam([a], { betas: 0.9 as never }),
    () => new optim.RMSprop([a], { alpha: 1 }),
  ])
    t.throws(bad, { name: 'EspalierError' }, String(bad))

  const optimizer = new optim.Adam([a, b])
  a.grad = tensor([1, 1])
  b.grad = tensor([1, 1, 1])
  t.throws(() => optimizer.step(), { code: 'SHAPE_MISMATCH' })
  b.grad = tensor([1])
  optimizer.paramGroups[0].lr = Number.NaN
  t.throws(() => optimizer.step(), { message: /Adam: lr is NaN/ })
  t.deepEqual([...a.data, ...b.data], [1, 2, 3])
  t.is(optimizer.state.size, 0)
  t.throws(() => optimizer.setMask(parameter([1]), null), { name: 'EspalierError' })
  t.throws(() => optimizer.setMask(a, tensor([1])), { code: 'SHAPE_MISMATCH' })
  t.throws(() => optimizer.loadStateDict({ state: {}, paramGroups: [] }), { code: 'SHAPE_MISMATCH' })
  t.throws(() => optimizer.loadStateDict({ state: { 0: { step: 1, mean: tensor([1]) } }, paramGroups: [{ params: [0, 1] }] }), { code: 'SHAPE_MISMATCH' })
})

test('clipping by norm scales all gradients alike, by value each entry', (t) => {
  const [a, b, c] = [parameter([0, 0]), parameter([0]), parameter([0])]
  const near = (actual: number, expected: number) => t.true(Math.abs(actual - expected) < 1e-6)
  const shared = tensor([2])
  const set = () => {
    a.grad = tensor([1, -2])
    b.grad = shared
    c.grad = null
  }
  set()
  near(optim.clipGradNorm([a, b, c], 10), 3)
  t.deepEqual([...a.grad!.data], [1, -2])
  near(optim.clipGradNorm([a, b, c], 1.5), 3)
  t.true(Math.abs(a.grad!.data[1] + 1) < 1e-6 && Math.abs(b.grad!.data[0] - 1) < 1e-6)
  t.is(shared.data[0], 2) // gradients may be shared: a new one takes its place
  set()
  near(optim.clipGradNorm([a, b, c], 1, { normType: Infinity }), 2)
  set()
  near(optim.clipGradNorm([a, b, c], 10, { normType: 1 }), 5)
  optim.clipGradValue([a, b, c], 1.5)
  t.deepEqual([...a.grad!.data, ...b.grad!.data], [1, -1.5, 1.5])
  a.grad = tensor([Number.NaN, 1])
  t.throws(() => optim.clipGradNorm([a], 1, { errorIfNonfinite: true }), { code: 'STATE' })
  t.throws(() => optim.clipGradNorm([a], -1), { name: 'EspalierError' })
  for (const clip of [optim.clipGradNorm, optim.clipGradValue]) t.throws(() => clip(3 as never, 1), { name: 'EspalierError', code: 'INVALID_ARGUMENT' })
  t.throws(() => optim.clipGradNorm([a], 1, { normType: 0 }), { name: 'EspalierError' })
  t.throws(() => optim.clipGradValue([a], Number.NaN), { name: 'EspalierError' })
})
