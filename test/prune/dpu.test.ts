import test from 'ava'
import { data, evaluate, fit, Generator, manualSeed, nn, ops, optim, prune, randn, type Tensor, tensor } from '../../lib/index.js'

const mask = (layer: nn.Module, name = 'weight'): number[] => Array.from(nn.maskOf(layer, name)?.data ?? [])
const zeros = (entries: readonly number[]): number => entries.filter((entry) => entry === 0).length
const gradient = (layer: nn.Module, name = 'weight'): number[] => Array.from(layer.latentWeight(name).grad!.data)
const filterOf = (values: readonly number[], filters: number, i: number): number[] =>
  values.slice((i * values.length) / filters, ((i + 1) * values.length) / filters)

/** A small network; with batch norm its filters' scales and offsets are not the trivial ones. */
function network(batchNorm: boolean): nn.Sequential {
  manualSeed(3)
  const norm = (channels: number): nn.Module[] => {
    if (!batchNorm) return []
    const made = new nn.BatchNorm2d(channels)
    made.weight?.data.set(Array.from({ length: channels }, (_, i) => 0.5 + i / 4))
    made.bias?.data.set(Array.from({ length: channels }, (_, i) => 0.3 - i / 10))
    return [made]
  }
  return new nn.Sequential(
    new nn.Conv2d(2, 6, 3),
    ...norm(6),
    new nn.ReLU(),
    new nn.Conv2d(6, 4, 3, { padding: 1 }),
    ...norm(4),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(4 * 9, 3),
  )
}
const convs = (net: nn.Sequential): nn.Conv2d[] => [...net].filter((module): module is nn.Conv2d => module instanceof nn.Conv2d)
const norms = (net: nn.Sequential): nn.BatchNorm2d[] => [...net].filter((module): module is nn.BatchNorm2d => module instanceof nn.BatchNorm2d)

const images = new Generator(5).normal([7, 2, 8, 8])
const labels = tensor(Int32Array.from([0, 1, 2, 0, 1, 2, 0]), [7])
function lossOf(net: nn.Module): number {
  const loss = ops.crossEntropy(net.forward(images), labels)
  net.zeroGrad()
  loss.backward()
  return loss.item()
}

for (const [structure, units] of [
  ['filter', 6],
  ['channel', 4],
  ['depthwise', 54],
  ['kernel', 24],
  ['kernelRow', 72],
  ['kernelColumn', 72],
  ['row', 6],
  ['column', 36],
  ['connection', 216],
] as const)
  test(`${structure} of a convolution: the units of the lowest L1 norm, rounded down, leave the forward pass`, (t) => {
    const conv = new nn.Conv2d(4, 6, 3, { generator: new Generator(1) })
    const dpu = new prune.Dpu(conv, { rate: 0.4, structure })
    const report = dpu.start()
    t.is(report?.layers[0].units, units)
    t.is(report?.layers[0].fallen, Math.floor(0.4 * units))
    t.is(zeros(mask(conv)), (Math.floor(0.4 * units) * 216) / units)
    const sums = [0, 0] // of the fallen and of those that stand
    for (const [i, stands] of mask(conv).entries()) sums[stands] += Math.abs(conv.latentWeight('weight').data[i])
    t.true(sums[0] / zeros(mask(conv)) < sums[1] / (216 - zeros(mask(conv))))
    t.deepEqual(
      Array.from(conv.effective('weight').data),
      Array.from(conv.latentWeight('weight').data, (weight, i) => weight * mask(conv)[i]),
    )
    t.true(
      conv.latentWeight('weight').data.every((weight: number) => weight !== 0),
      'dense weights live on',
    )
  })

for (const [structure, units] of [
  ['filter', 10],
  ['channel', 8],
  ['kernel', 80],
  ['row', 10],
  ['column', 8],
  ['connection', 80],
] as const)
  test(`${structure} of a linear layer`, (t) => {
    const layer = new nn.Linear(8, 10)
    new prune.Dpu(layer, { rate: 0.35, structure }).start()
    t.is(zeros(mask(layer)), (Math.floor(0.35 * units) * 80) / units)
    t.is(zeros(mask(layer, 'bias')), ['filter', 'row'].includes(structure) ? 3 : 0)
  })

test('the rate is that of each layer, or of all together', (t) => {
  const net = new nn.Sequential(new nn.Linear(10, 10), new nn.Linear(10, 10))
  net.at(1)!.latentWeight('weight').data.fill(9)
  const fallen = (allocate?: typeof prune.global) =>
    new prune.Dpu(net, { rate: 0.4, structure: 'connection', allocate }).start()!.layers.map((layer) => layer.fallen)
  t.deepEqual(fallen(), [40, 40])
  t.deepEqual(fallen(prune.global), [80, 0])
})

test('a mix of structures', (t) => {
  const conv = new nn.Conv2d(4, 8, 3)
  new prune.Dpu(conv, { rate: 0.5, structure: prune.mixed([prune.filter, prune.fraction(0.25, { of: 'total', round: 'floor' })], prune.element) }).start()
  t.is(zeros(mask(conv)), 144)
  t.is(zeros(mask(conv, 'bias')), 2)
})

for (const batchNorm of [false, true])
  test(`kept filters have the loss and the gradients of ordinary pruning${batchNorm ? ', behind batch norm too' : ''}`, (t) => {
    const [dynamic, ordinary] = [network(batchNorm), network(batchNorm)]
    const dpu = new prune.Dpu(dynamic, { rate: 0.5, include: nn.Conv2d })
    dpu.start()
    for (const [i, conv] of convs(dynamic).entries()) {
      const twin = convs(ordinary)[i]
      for (const name of ['weight', 'bias']) nn.setMask(twin, name, nn.maskOf(conv, name)!)
      if (batchNorm) for (const name of ['weight', 'bias']) nn.setMask(norms(ordinary)[i], name, nn.maskOf(conv, 'bias')!)
    }
    t.is(lossOf(dynamic), lossOf(ordinary))
    for (const [i, conv] of convs(dynamic).entries()) {
      const twin = convs(ordinary)[i]
      const filters = conv.outChannels
      t.is(zeros(mask(conv, 'bias')), filters / 2)
      for (let filter = 0; filter < filters; filter++) {
        const [ours, theirs] = [conv, twin].map((one) => [...filterOf(gradient(one), filters, filter), gradient(one, 'bias')[filter]])
        if (mask(conv, 'bias')[filter] === 1) t.true(ours.every((value, j) => Math.abs(value - theirs[j]) <= 1e-20))
        else {
          t.true(theirs.every((value) => value === 0))
          t.true(
            ours.some((value) => Math.abs(value) > 1e-6),
            'what fell goes on learning',
          )
        }
      }
    }
    if (batchNorm)
      for (const [i, norm] of norms(dynamic).entries())
        for (const name of ['weight', 'bias'])
          for (const [c, stands] of mask(norm).entries()) if (stands === 1) t.is(gradient(norm, name)[c], gradient(norms(ordinary)[i], name)[c])
  })

test('fallen neurons learn as if the derivative of ReLU at 0 were 1', (t) => {
  const layer = new nn.Linear(3, 4)
  layer.weight.data.set([1, 1, 1, 0.1, 0.1, 0.1, 2, 2, 2, 0.2, 0.2, 0.2])
  layer.bias?.data.set([1, -9, 1, 1])
  new prune.Dpu(layer, { rate: 0.5 }).start()
  t.deepEqual(mask(layer, 'bias'), [1, 0, 1, 0])
  const output = layer.forward(tensor([[1, 2, 3]])).relu()
  ops.sum(output.mul(tensor([[1, 10, 100, 1000]]))).backward()
  t.deepEqual(gradient(layer), [1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000])
  t.deepEqual(gradient(layer, 'bias'), [1, 10, 100, 1000])
})

test('a fallen channel behind batch norm: off, its statistics kept, its gradient that of the statistics', (t) => {
  manualSeed(2)
  const [conv, norm] = [new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4)]
  norm.bias?.data.fill(0.5)
  norm.weight?.data.set([1, 2, -3, 4])
  norm.running_mean?.data.set([1, 2, 3, 4])
  norm.running_var?.data.set([4, 9, 16, 25])
  conv.weight.data.subarray(9, 27).fill(0.01)
  const net = new nn.Sequential(conv, norm)
  new prune.Dpu(net, { rate: 0.5, include: nn.Conv2d }).start()
  t.deepEqual(mask(conv, 'bias'), [1, 0, 0, 1])

  const x = randn([5, 1, 6, 6])
  const channels = (y: Tensor): number[][] => [0, 1, 2, 3].map((c) => Array.from(ops.slice(y, { dim: 1, start: c, end: c + 1 }).data))
  const output = net.forward(x).relu()
  for (const [c, values] of channels(output).entries())
    if (c === 0 || c === 3) t.true(values.some((value) => value > 0.01))
    else t.true(values.every((value) => value < 1e-25))
  t.deepEqual([...norm.running_mean!.data.slice(1, 3), ...norm.running_var!.data.slice(1, 3)], [2, 3, 9, 16])
  t.not(norm.running_mean?.data[0], 1)

  // Σ g·x over all places, times γ / √(σ² + ε), for the filter and its bias.
  output.backward(ops.add(output.mul(0), 1))
  for (const c of [1, 2]) {
    const scale = [0, 2, -3, 0][c] / Math.sqrt([0, 9, 16, 0][c] + 1e-5)
    const places = ops.sum(ops.slice(ops.slice(x, { dim: 2, start: 0, end: 4 }), { dim: 3, start: 0, end: 4 })).item()
    t.true(Math.abs(filterOf(gradient(conv), 4, c)[0] - scale * places) < 1e-4)
    t.true(Math.abs(gradient(conv, 'bias')[c] - scale * 80) < 1e-3)
    t.is(gradient(norm, 'bias')[c], 80)
  }
  const evaluated = channels(net.eval().forward(x))
  t.true([...evaluated[1], ...evaluated[2]].every((value) => value === 0))
})

for (const [name, make, input] of [
  ['linear layers', () => [new nn.Linear(5, 8), new nn.BatchNorm1d(8)], [6, 5]],
  ['convolutions of sequences', () => [new nn.Conv1d(2, 8, 3), new nn.BatchNorm1d(8)], [6, 2, 9]],
  ['transposed convolutions', () => [new nn.ConvTranspose2d(2, 8, 3), new nn.BatchNorm2d(8)], [6, 2, 4, 4]],
] as const)
  test(`${name}: with and without batch norm fallen filters are off, and learn`, (t) => {
    manualSeed(4)
    for (const count of [1, 2]) {
      const net = new nn.Sequential(...make().slice(0, count))
      const layer = net.at(0)!
      new prune.Dpu(net, { rate: 0.5, include: layer }).start()
      t.is(zeros(mask(layer, 'bias')), 4)
      const x = randn([...input])
      const output = net.forward(x).relu()
      output.backward(ops.add(output.mul(0), 1))
      for (const evaluated of [net.eval().forward(x), net.train().forward(x)])
        for (const [c, stands] of mask(layer, 'bias').entries()) {
          const channel = ops.slice(evaluated, { dim: 1, start: c, end: c + 1 }).data
          t.is(
            channel.some((value: number) => Math.abs(value) > 1e-20),
            stands === 1,
          )
        }
      t.true(gradient(layer, 'bias').every((value) => value !== 0))
    }
  })

test('what fell returns when its weights have grown, and batch norm with it', (t) => {
  const net = network(true)
  const [conv, norm] = [convs(net)[0], norms(net)[0]]
  const dpu = new prune.Dpu(net, { rate: 0.5, include: conv })
  dpu.start()
  net.forward(images)
  const down = mask(conv, 'bias').indexOf(0)
  t.is(mask(norm)[down], 0)
  conv.latentWeight('weight').data.fill(9, down * 18, (down + 1) * 18)
  dpu.step()
  net.forward(images)
  t.deepEqual([mask(conv, 'bias')[down], mask(norm)[down], mask(norm, 'bias')[down]], [1, 1, 1])
  t.is(zeros(mask(norm)), 3)
})

test('evaluation is as before, and nothing is left at the end', (t) => {
  for (const batchNorm of [false, true]) {
    const net = network(batchNorm)
    const names = Object.keys(net.stateDict()).sort()
    const dpu = new prune.Dpu(net, { rate: 0.5, include: nn.Conv2d })
    dpu.start()
    lossOf(net)
    const before = net.eval().forward(images)
    const copy = net.clone()
    t.deepEqual(copy.forward(images).data, before.data)
    dpu.remove()
    t.false(prune.isPruned(net))
    t.deepEqual(Object.keys(net.stateDict()).sort(), names)
    t.deepEqual(net.forward(images).data, before.data)
    const plain = network(batchNorm)
    plain.loadStateDict(net.stateDict())
    t.deepEqual(plain.eval().forward(images).data, before.data)
    t.is(lossOf(net.train()), lossOf(plain.train()))
  }
})

test('a training is resumed with the model', (t) => {
  const net = network(true)
  const dpu = new prune.Dpu(net, { rate: 0.5, include: nn.Conv2d, redraw: 'step' })
  dpu.rate = 0.34
  dpu.step()
  lossOf(net)
  const saved = [net.stateDict(), dpu.stateDict()] as const

  const other = network(true)
  const resumed = new prune.Dpu(other, { rate: 0.1, include: nn.Conv2d, redraw: 'step' })
  resumed.loadStateDict(saved[1])
  other.loadStateDict(saved[0])
  t.is(resumed.rate, 0.34)
  t.deepEqual(resumed.report().layers, dpu.report().layers)
  t.is(lossOf(other), lossOf(net))
  for (const one of [dpu, resumed]) one.step()
  t.deepEqual(other.stateDict(), net.stateDict())
  t.throws(() => resumed.loadStateDict({ ...saved[1], rate: tensor([1, 2]) }), { code: 'SHAPE_MISMATCH' })
  t.throws(() => resumed.loadStateDict({ ...saved[1], rate: tensor(1.5) }), { code: 'INVALID_ARGUMENT' })
})

test('end to end in a training, and in steps', async (t) => {
  manualSeed(1)
  const { train, test: held } = data.digits()
  const net = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.BatchNorm2d(8), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10))
  const dpu = new prune.Dpu(net, { rate: 0.25, include: nn.Conv2d })
  const optimizer = new optim.Adam(net.parameters(), { lr: 0.003 })
  const run = (epochs: number) =>
    fit(net, { train, epochs, batchSize: 64, optimizer, loss: ops.crossEntropy, callbacks: [dpu], progress: false, generator: new Generator(1) })
  await run(4)
  t.is(dpu.report().layers[0].fallen, 2)
  dpu.rate = 0.5
  await run(6)
  t.is(dpu.report().layers[0].fallen, 4)
  dpu.remove()
  const right = (output: Tensor, target: Tensor): number => {
    const classes = ops.argmax(output, { dim: 1 }).data
    return classes.filter((c: number, i: number) => c === target.data[i]).length / classes.length
  }
  const { accuracy } = await evaluate(net, held, { metrics: { accuracy: right } })
  t.true(accuracy > 0.9, String(accuracy))
})

test('bad calls are refused and change nothing', (t) => {
  const net = network(true)
  const names = Object.keys(net.stateDict())
  for (const bad of [
    { rate: 1 },
    { rate: -0.1 },
    { rate: Number.NaN },
    { rate: 0.5, structure: 'filters' as 'filter' },
    { rate: 0.5, structure: {} as prune.Structure },
    { rate: 0.5, include: nn.Conv1d },
    { rate: 0.5, allocate: 'global' as never },
    { rate: 0.5, redraw: 'day' as 'step' },
    undefined as never,
  ])
    t.throws(() => new prune.Dpu(net, bad), { name: 'EspalierError', code: 'INVALID_ARGUMENT' }, JSON.stringify(bad))
  t.deepEqual(Object.keys(net.stateDict()), names)
  const dpu = new prune.Dpu(net, { rate: 0.5, include: nn.Conv2d })
  t.throws(() => (dpu.rate = 1), { code: 'INVALID_ARGUMENT' })
  t.is(dpu.rate, 0.5)
  t.throws(() => new prune.Dpu(new nn.Linear(3, 3), { rate: 0.5, structure: 'kernelRow' }).start(), { code: 'INVALID_ARGUMENT' })

  const plain = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4, { affine: false }))
  new prune.Dpu(plain, { rate: 0.5, include: nn.Conv2d }).start()
  t.throws(() => plain.forward(randn([2, 1, 5, 5])), { code: 'STATE', message: /BatchNorm2d/ })
})
