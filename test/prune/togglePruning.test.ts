import test from 'ava'
import { EspalierError, nn, ops, optim, prune, randn } from '../../lib/index.js'

const model = (): nn.Sequential => new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10))
const activeInputs = (layer: nn.Module): number[] => {
  const weight = layer.effective('weight')
  const fanIn = weight.size / weight.shape[0]
  return Array.from({ length: weight.shape[0] }, (_, row) => weight.data.subarray(row * fanIn, (row + 1) * fanIn).filter((w) => w !== 0).length)
}

test('every neuron keeps at most `active` inputs', (t) => {
  const net = model()
  const report = prune.togglePruning(net, true, { active: 5 })
  t.true(report.changed)
  t.deepEqual(
    report.layers.map(({ fanIn, maxActive }) => [fanIn, maxActive]),
    [
      [9, 5],
      [288, 5],
    ],
  )
  for (const layer of [net.at(0), net.at(3)]) for (const active of activeInputs(layer as nn.Module)) t.is(active, 5)
})

test('disabling makes the zeros ordinary weights', (t) => {
  const net = model()
  prune.togglePruning(net, true, { active: 5 })
  const before = net.forward(randn([1, 1, 8, 8]).mul(0)).data
  const report = prune.togglePruning(net, false)
  t.true(report.changed)
  t.deepEqual(Object.keys(net.stateDict()), ['0.bias', '0.weight', '3.bias', '3.weight'])
  t.deepEqual(net.forward(randn([1, 1, 8, 8]).mul(0)).data, before)
  t.false(prune.togglePruning(net, false).changed)
})

test('a limit that no neuron reaches changes nothing and says so', async (t) => {
  const net = model()
  const before = net.stateDict()
  const warned = new Promise<Error>((resolve) => process.once('warning', resolve))
  const report = prune.togglePruning(net, true, { active: 288 })
  t.false(report.changed)
  t.regex(report.message, /nothing pruned.*288/)
  t.is(((await warned) as Error & { code?: string }).code, 'ESPALIER_NO_OP')
  t.deepEqual(Object.keys(net.stateDict()), Object.keys(before))
})

test('a second call redraws the masks from the weights as they are; straight-through lets weights return', (t) => {
  const net = new nn.Sequential(new nn.Linear(20, 4))
  const layer = net.at(0) as nn.Linear
  prune.togglePruning(net, true, { active: 3, gradient: prune.straightThrough })
  const optimiser = new optim.SGD(net.parameters(), { lr: 1 })
  ops.sum(net.forward(randn([8, 20]))).backward()
  const gradient = layer.latentWeight('weight').grad
  t.true(
    gradient?.data.every((value) => value !== 0),
    'masked weights learn too',
  )
  optimiser.step()
  const latent = layer.latentWeight('weight')
  prune.togglePruning(net, true, { active: 3, gradient: prune.straightThrough })
  const effective = layer.effective('weight')
  for (let row = 0; row < 4; row++) {
    const magnitudes = Array.from(latent.data.subarray(row * 20, row * 20 + 20), Math.abs)
    const third = magnitudes.toSorted((a, b) => b - a)[2]
    for (let i = 0; i < 20; i++) t.is(effective.data[row * 20 + i] !== 0, magnitudes[i] >= third)
  }
})

test('widening the limit frees layers that were masked', (t) => {
  const net = model()
  prune.togglePruning(net, true, { active: 5 })
  const report = prune.togglePruning(net, true, { active: 12 })
  t.deepEqual(
    report.layers.map(({ maxActive }) => maxActive),
    [9, 12],
  )
})

test('bad calls are refused and change nothing', (t) => {
  const net = model()
  const names = Object.keys(net.stateDict())
  for (const active of [-1, 1.5, Number.NaN, undefined]) t.throws(() => prune.togglePruning(net, true, { active }), { instanceOf: EspalierError })
  t.throws(() => prune.togglePruning(new nn.Sequential(new nn.ReLU()), true, { active: 3 }), { instanceOf: EspalierError })
  t.deepEqual(Object.keys(net.stateDict()), names)
})
