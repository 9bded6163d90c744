import test from 'ava'
import { optim, tensor } from '../../lib/index.js'

const sgd = (lr = 1, options = {}) => new optim.SGD([tensor([0], { requiresGrad: true })], { lr, ...options })

const rates = (optimizer: { paramGroups: { lr: number }[] }, schedule: { step(): void }, count: number): number[] =>
  Array.from({ length: count }, () => {
    const { lr } = optimizer.paramGroups[0]
    schedule.step()
    return lr
  })

const close = (t: { true(value: boolean, message?: string): void }, actual: number[], expected: number[]) =>
  t.true(actual.length === expected.length && actual.every((value, i) => Math.abs(value - expected[i]) < 1e-12), `${actual} is not ${expected}`)

test('schedules on one optimiser chain', (t) => {
  const optimizer = sgd()
  const first = new optim.StepLR(optimizer, { stepSize: 2, gamma: 0.5 })
  const second = new optim.ExponentialLR(optimizer, { gamma: 0.1 })
  close(t, rates(optimizer, { step: () => [first, second].forEach((schedule) => void schedule.step()) }, 4), [1, 0.1, 0.005, 0.0005])
})

test('a function of the epoch, for each group', (t) => {
  const optimizer = new optim.SGD([{ params: tensor([0]) }, { params: tensor([0]), lr: 2 }], { lr: 1 })
  const schedule = new optim.LambdaLR(optimizer, [(epoch) => 1 / (1 + epoch), () => 3])
  schedule.step()
  t.deepEqual(schedule.getLastLr(), [0.5, 6])
  t.throws(() => new optim.LambdaLR(optimizer, [() => 1]), { name: 'EspalierError' })
})

test('one schedule after another', (t) => {
  // PyTorch: SequentialLR([LinearLR(factor .1, 2 steps), ExponentialLR(.5)], milestones=[3])
  const optimizer = sgd()
  const schedules = [new optim.LinearLR(optimizer, { startFactor: 0.1, totalIters: 2 }), new optim.ExponentialLR(optimizer, { gamma: 0.5 })]
  const schedule = new optim.SequentialLR(optimizer, { schedules, milestones: [3] })
  close(t, rates(optimizer, schedule, 6), [0.1, 0.55, 1, 1, 0.5, 0.25])
})

test('a saved place goes on where it stopped', (t) => {
  const make = (optimizer: optim.SGD) => ({
    cosine: new optim.CosineAnnealingLR(optimizer, { tMax: 7 }),
    plateau: new optim.ReduceLROnPlateau(optimizer, { patience: 1 }),
  })
  const optimizer = sgd()
  const { cosine, plateau } = make(optimizer)
  for (let i = 0; i < 3; i++) {
    cosine.step()
    plateau.step(1)
  }
  const other = sgd()
  const copies = make(other)
  other.loadStateDict(optimizer.stateDict())
  copies.cosine.loadStateDict(JSON.parse(JSON.stringify(cosine.stateDict())))
  copies.plateau.loadStateDict(JSON.parse(JSON.stringify(plateau.stateDict())))
  for (let i = 0; i < 5; i++) {
    for (const schedule of [cosine, copies.cosine]) schedule.step()
    for (const schedule of [plateau, copies.plateau]) schedule.step(1)
    t.is(other.paramGroups[0].lr, optimizer.paramGroups[0].lr)
  }
})

test('the cycle ends: one step beyond keeps the last rate, another is an error', (t) => {
  const optimizer = sgd()
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: 1, totalSteps: 4, cycleMomentum: false })
  for (let i = 0; i < 3; i++) schedule.step()
  const [last] = schedule.getLastLr()
  schedule.step()
  t.is(schedule.getLastLr()[0], last)
  t.throws(() => schedule.step(), { code: 'STATE' })
  t.is(schedule.lastEpoch, 4)
})

test('a NaN metric is no improvement', (t) => {
  const optimizer = sgd()
  const schedule = new optim.ReduceLROnPlateau(optimizer, { patience: 0, factor: 0.5 })
  schedule.step(1)
  schedule.step(Number.NaN)
  t.is(optimizer.paramGroups[0].lr, 0.5)
})

test('what cannot be is an error', (t) => {
  const optimizer = sgd()
  for (const bad of [
    () => new optim.StepLR(optimizer, { stepSize: 0 }),
    () => new optim.StepLR({ paramGroups: [] }, { stepSize: 1 }),
    () => new optim.StepLR(optimizer, { stepSize: 1, gamma: Number.NaN }),
    () => new optim.MultiStepLR(optimizer, { milestones: [1.5] }),
    () => new optim.MultiStepLR(optimizer, { milestones: 3 as never }),
    () => new optim.CosineAnnealingLR(optimizer, { tMax: 0 }),
    () => new optim.LinearLR(optimizer, { startFactor: 0 }),
    () => new optim.LinearLR(optimizer, { endFactor: 2 }),
    () => new optim.OneCycleLR(optimizer, { maxLr: 1 }),
    () => new optim.OneCycleLR(optimizer, { maxLr: [1, 2], totalSteps: 3 }),
    () => new optim.OneCycleLR(optimizer, { maxLr: 1, totalSteps: 3, annealStrategy: 'sine' as never }),
    () => new optim.ReduceLROnPlateau(optimizer, { factor: 1 }),
    () => new optim.ReduceLROnPlateau(optimizer, { mode: 'median' as never }),
    () => new optim.ReduceLROnPlateau(optimizer).step('1' as never),
    () => new optim.SequentialLR(optimizer, { schedules: [], milestones: [] }),
  ])
    t.throws(bad, { name: 'EspalierError' }, String(bad))
  t.is(optimizer.paramGroups[0].lr, 1)
})
