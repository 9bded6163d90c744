import test from 'ava'
import { EspalierError, Generator, nn, ops, optim, prune, randn, type Tensor, tensor } from '../../lib/index.js'

/** What a schedule wants at each tick up to `last`, as [tick, level] or [tick, action]. */
function acts(schedule: prune.Schedule, goal: number, last: number, samples = 1): [number, prune.Action][] {
  const found: [number, prune.Action][] = []
  for (let tick = 0; tick <= last; tick++) {
    const action = schedule.at({ tick, samples: tick * samples, acts: found.length }, goal)
    if (action !== null) found.push([tick, action])
  }
  return found
}
const levels = (schedule: prune.Schedule, goal: number, last: number, samples?: number): [number, number | undefined][] =>
  acts(schedule, goal, last, samples).map(([tick, { level }]) => [tick, level === undefined ? undefined : Math.round(level * 1e6) / 1e6])

test('oneShot acts once, before training or later', (t) => {
  t.deepEqual(levels(prune.oneShot(), 0.5, 5), [[0, undefined]])
  t.deepEqual(levels(prune.oneShot({ at: 3 }), 0.5, 5), [[3, undefined]])
})

test('polynomial: the values of TensorFlow at 100, 102, 105, 110', (t) => {
  const schedule = prune.polynomial({ initial: 0.2, begin: 100, end: 110, frequency: 1 })
  const found = new Map(levels(schedule, 0.8, 200))
  t.deepEqual(
    [100, 102, 105, 110].map((tick) => found.get(tick)),
    [0.2, 0.4928, 0.725, 0.8],
  )
  t.is(found.size, 11)
  t.deepEqual(
    levels(prune.polynomial({ initial: 0.2, begin: 100, end: 110, frequency: 2 }), 0.8, 200).map(([tick]) => tick),
    [100, 102, 104, 106, 108, 110],
  )
  t.deepEqual(levels(prune.polynomial({ end: 10, frequency: 4, power: 1 }), 0.5, 20), [
    [0, 0],
    [4, 0.2],
    [8, 0.4],
    [10, 0.5],
  ])
  t.deepEqual(
    levels(prune.polynomial({ end: 10, frequency: 4, power: 1, atEnd: false }), 0.5, 20).map(([tick]) => tick),
    [0, 4, 8],
  )
})

test('iterative: each round the same share of what stands, the goal at last', (t) => {
  const [first, second, third] = acts(prune.iterative({ rounds: 3, frequency: 2, begin: 1 }), 0.875, 9).map(([tick, { level }]) => [tick, level])
  t.deepEqual(
    [first, second, third],
    [
      [1, 0.5],
      [3, 0.75],
      [5, 0.875],
    ],
  )
})

test('gradual: N2D2’s thresholds, by samples and by epochs', (t) => {
  // 8 samples a step, a rise each 16.
  t.deepEqual(levels(prune.gradual({ start: 0.1, gamma: 0.05, period: 16 }), 0.2, 20, 8), [
    [0, 0.1],
    [2, 0.15],
    [4, 0.2],
  ])
  t.deepEqual(levels(prune.gradual({ start: 0.1, gamma: 0.1 }), 0.3, 9), [
    [0, 0.1],
    [1, 0.2],
    [2, 0.3],
  ])
  t.deepEqual(levels(prune.gradual({ start: 0.1, gamma: 0.3 }), 0.3, 9), [
    [0, 0.1],
    [1, 0.3],
  ])
  // No rise where it begins at the goal or above.
  t.deepEqual(levels(prune.gradual({ start: 0.4 }), 0.3, 9), [[0, 0.4]])
  t.is(prune.gradual({ period: 5 }).every, 'step')
  t.is(prune.gradual().every, 'epoch')
})

test('cyclic: the cycle again and again, the first act of each from the latent weights', (t) => {
  const schedule = prune.cyclic(prune.polynomial({ end: 2, power: 1 }), { period: 4, cycles: 2 })
  t.deepEqual(
    acts(schedule, 0.5, 20).map(([tick, { level, draw }]) => [tick, level, draw]),
    [
      [0, 0, 'anew'],
      [1, 0.25, 'onward'],
      [2, 0.5, 'onward'],
      [4, 0, 'anew'],
      [5, 0.25, 'onward'],
      [6, 0.5, 'onward'],
    ],
  )
})

test('redraw, soft and feedback draw anew; soft leaves no mask but the last', (t) => {
  t.deepEqual(
    acts(prune.redraw({ frequency: 2, end: 5 }), 0.5, 9),
    [0, 2, 4].map((tick) => [tick, { draw: 'anew' }]),
  )
  t.deepEqual(acts(prune.soft({ frequency: 2, harden: 5 }), 0.5, 9), [
    [2, { draw: 'anew', soft: true }],
    [4, { draw: 'anew', soft: true }],
    [5, { draw: 'anew' }],
  ])
  t.deepEqual(levels(prune.feedback({ end: 20, power: 1, frequency: 8, freeze: 40 }), 0.5, 60), [
    [0, 0],
    [8, 0.2],
    [16, 0.4],
    [24, 0.5],
    [32, 0.5],
    [40, 0.5],
  ])
})

test('regrowth: the share goes down a cosine to 0 at the end', (t) => {
  const by = prune.random()
  const found = acts(prune.regrowth({ by, share: 0.4, frequency: 10, end: 40 }), 0.5, 99)
  t.deepEqual(
    found.map(([tick]) => tick),
    [0, 10, 20, 30],
  )
  t.deepEqual(
    found.slice(1).map(([, { regrow }]) => Math.round(regrow!.share * 1e4) / 1e4),
    [1, 2, 3].map((i) => Math.round(0.2 * (1 + Math.cos((Math.PI * i) / 4)) * 1e4) / 1e4),
  )
  t.is(acts(prune.regrowth({ by, frequency: 10 }), 0.5, 30).length, 4)
})

test('bad settings are refused', (t) => {
  const by = prune.random()
  for (const bad of [
    () => prune.oneShot({ at: -1 }),
    () => prune.oneShot({ every: 'batch' as 'step' }),
    () => prune.polynomial({ begin: 10, end: 10 }),
    () => prune.polynomial({ end: 10, frequency: 0 }),
    () => prune.polynomial({ end: Number.NaN }),
    () => prune.iterative({ rounds: 0, frequency: 1 }),
    () => prune.gradual({ gamma: 0 }),
    () => prune.gradual({ period: 1.5 }),
    () => prune.cyclic(prune.oneShot(), { period: 0 }),
    () => prune.redraw({ frequency: 0 }),
    () => prune.feedback({ end: 10, freeze: -1 }),
    () => prune.soft({ harden: 0 }),
    () => prune.regrowth({ by, share: 1.5 }),
    () => prune.regrowth({ by, decay: 'cosine' }),
  ])
    t.throws(bad, { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' }, String(bad))
})

const maskData = (layer: nn.Module): number[] => Array.from(nn.maskOf(layer, 'weight')!.data)

/** A step of training on Σ (target − W x)² with a gradient the test knows. */
function trained(layer: nn.Linear, optimizer: { step(): void; zeroGrad(): void }, x: Tensor): void {
  optimizer.zeroGrad()
  ops.sum(layer.forward(x)).backward()
  optimizer.step()
}

test('SET and RigL exchange as many as they drop; those that return are 0 and have no past', (t) => {
  for (const by of [prune.gradientMagnitude, prune.random({ generator: new Generator(4) })]) {
    const layer = new nn.Linear(10, 4, { bias: false, generator: new Generator(1) })
    const optimizer = new optim.Adam(layer.parameters(), { lr: 0.01 })
    const first = prune.random({ generator: new Generator(2) })
    const pruner = new prune.Pruner(layer, { amount: 0.5, optimizer, schedule: prune.regrowth({ by, first, share: 0.3, frequency: 2 }) })
    pruner.start()
    const x = tensor(
      Array.from({ length: 10 }, (_, i) => i + 1),
      [1, 10],
    )
    t.is(maskData(layer).filter((entry) => entry === 1).length, 20)
    for (let round = 0; round < 4; round++) {
      trained(layer, optimizer, x)
      t.is(pruner.step(), null)
      const before = maskData(layer)
      trained(layer, optimizer, x)
      const latent = layer.latentWeight('weight')
      const [weights, state] = [Array.from(latent.data), optimizer.state.get(latent)!]
      const means = Array.from(state.slots.mean.data)
      t.not(pruner.step(), null)
      const after = maskData(layer)
      t.is(after.filter((entry) => entry === 1).length, 20)
      // ⌊.3 · 20⌉ = 6 of the smallest left; the six that came have the largest scores of all that did not stand.
      const standing = [...before.keys()].filter((i) => before[i] === 1).sort((a, b) => Math.abs(weights[a]) - Math.abs(weights[b]) || a - b)
      const dropped = standing.slice(0, 6)
      const stay = standing.slice(6)
      t.true(stay.every((i) => after[i] === 1))
      const came = [...after.keys()].filter((i) => after[i] === 1 && !stay.includes(i))
      t.is(came.length, 6)
      if (by === prune.gradientMagnitude) {
        const gradient = (i: number): number => (i % 10) + 1
        const away = [...after.keys()].filter((i) => !stay.includes(i) && !came.includes(i))
        t.true(Math.min(...came.map(gradient)) >= Math.max(...away.map(gradient)))
      }
      for (const i of came) {
        if (dropped.includes(i)) t.is(latent.data[i], weights[i])
        else t.true([latent, state.slots.mean, state.slots.square].every(({ data }) => data[i] === 0))
      }
      for (const i of stay) t.deepEqual([latent.data[i], state.slots.mean.data[i]], [weights[i], means[i]])
    }
  }
})

test('under N:M and a fan-in as many return in each group as fell there, those of the largest gradient', (t) => {
  // (Where a weight is in [out, in, …kernel], by its group.)
  const settings: {
    layer: nn.Linear | nn.Conv2d
    structure: prune.Structure
    amount?: prune.Amount
    input: number[]
    groupOf: (i: number) => number
    keeps: number
  }[] = [
    { layer: new nn.Linear(16, 6), structure: prune.nm(2, 4), input: [3, 16], groupOf: (i) => Math.floor(i / 4), keeps: 2 },
    { layer: new nn.Linear(16, 6), structure: prune.nm(1, 8), input: [3, 16], groupOf: (i) => Math.floor(i / 8), keeps: 1 },
    // The groups of a convolution: of a filter and a place of its kernel of 2·2, four channels of eight.
    {
      layer: new nn.Conv2d(8, 3, 2),
      structure: prune.nm(2, 4),
      input: [3, 8, 3, 3],
      groupOf: (i) => Math.floor(i / 16) * 4 + (i % 4),
      keeps: 2,
    },
    { layer: new nn.Linear(16, 6), structure: prune.perNeuron, amount: prune.keep(5), input: [3, 16], groupOf: (i) => Math.floor(i / 16), keeps: 5 },
  ]
  for (const { layer, structure, amount, input, groupOf, keeps } of settings) {
    const share = 0.3
    const pruner = new prune.Pruner(layer, { structure, amount, schedule: prune.regrowth({ by: prune.gradientMagnitude, share, frequency: 1 }) })
    pruner.start()
    let exchanged = 0
    for (let round = 0; round < 5; round++) {
      const before = maskData(layer)
      layer.zeroGrad()
      const x = randn(input)
      // The gradient that a dense layer of the same weights would have, which decides who returns.
      const dense = layer.clone()
      nn.removeMask(dense, 'weight')
      for (const one of [layer, dense]) ops.sum(ops.square(one.forward(x))).backward()
      const gradient = dense.weight.grad!.data.map(Math.abs)
      const weights = Array.from(layer.latentWeight('weight').data as Float32Array)
      pruner.step()
      const after = maskData(layer)
      const standing = [...before.keys()].filter((i) => before[i] === 1)
      const dropped = new Set(standing.sort((a, b) => Math.abs(weights[a]) - Math.abs(weights[b]) || a - b).slice(0, Math.round(share * standing.length)))
      for (const group of new Set(before.map((_, i) => groupOf(i)))) {
        const members = [...before.keys()].filter((i) => groupOf(i) === group)
        t.is(members.filter((i) => after[i] === 1).length, keeps)
        const stay = members.filter((i) => before[i] === 1 && !dropped.has(i))
        t.true(stay.every((i) => after[i] === 1))
        const came = members.filter((i) => after[i] === 1 && !stay.includes(i))
        const away = members.filter((i) => after[i] === 0)
        if (came.length > 0) t.true(Math.min(...came.map((i) => gradient[i])) >= Math.max(...away.map((i) => gradient[i])) - 1e-6)
        exchanged += came.filter((i) => before[i] === 0).length
      }
    }
    t.true(exchanged > 0)
  }
  const mixed = new prune.Pruner(new nn.Linear(8, 4), {
    structure: prune.mixed([prune.filter, 0.25], [prune.element, 0.5]),
    schedule: prune.regrowth({ by: prune.random(), frequency: 1 }),
  })
  mixed.start()
  t.throws(() => mixed.step(), { code: 'INVALID_ARGUMENT', message: /mixed\(filter, element\) has no units that could return/ })
})

test('fallen weights and their running means stay as they are where the optimiser knows the masks', (t) => {
  const layer = new nn.Linear(6, 2, { generator: new Generator(1) })
  const optimizer = new optim.AdamW(layer.parameters(), { lr: 0.1, weightDecay: 0.1 })
  const pruner = new prune.Pruner(layer, { amount: 6, optimizer })
  pruner.step()
  const mask = maskData(layer)
  const before = Array.from(layer.latentWeight('weight').data)
  for (let i = 0; i < 3; i++) trained(layer, optimizer, tensor([1, 2, 3, 4, 5, 6], [1, 6]))
  for (const [i, value] of layer.latentWeight('weight').data.entries()) t.is(value === before[i], mask[i] === 0)
  pruner.remove()
  trained(layer, optimizer, tensor([1, 2, 3, 4, 5, 6], [1, 6]))
  t.true(layer.weight.data.every((value: number) => value !== 0))
})

test('soft: what falls is 0 and goes on learning; it may come back', (t) => {
  const layer = new nn.Linear(2, 2, { bias: true })
  layer.weight.data.set([1, 1, 3, 3])
  layer.bias!.data.set([5, 6])
  const pruner = new prune.Pruner(layer, { structure: prune.filter, amount: 0.5, schedule: prune.soft({ harden: 3 }), bias: 'mask' })
  t.is(pruner.start(), null)
  const report = pruner.step()
  t.deepEqual(Array.from(layer.weight.data), [0, 0, 3, 3])
  t.deepEqual(Array.from(layer.bias!.data), [0, 6])
  t.is(report?.total.sparsity, 0.5)
  t.is(nn.maskOf(layer, 'weight'), null)
  layer.weight.data.set([9, 9])
  pruner.step()
  t.deepEqual(Array.from(layer.weight.data), [9, 9, 0, 0])
  pruner.step()
  t.deepEqual(maskData(layer), [1, 1, 0, 0])
})

test('DPF: dense weights learn from the masked ones’ gradients, and masks follow them', (t) => {
  const layer = new nn.Linear(2, 1, { bias: false })
  layer.weight.data.set([1, 2])
  const optimizer = new optim.SGD(layer.parameters(), { lr: 1 })
  const pruner = new prune.Pruner(layer, { ...prune.policies.dpf({ sparsity: 0.5, end: 1, frequency: 1 }), optimizer })
  pruner.start()
  pruner.step()
  t.deepEqual(maskData(layer), [0, 1])
  trained(layer, optimizer, tensor([-2, 1], [1, 2])) // dense: [1, 2] − [−2, 1]
  t.deepEqual(Array.from(layer.latentWeight('weight').data), [3, 1])
  pruner.step()
  t.deepEqual(maskData(layer), [1, 0])
})
