import test from 'ava'
import { data, EspalierError, fit, Generator, nn, ops, optim, prune, rand, type Tensor, tensor } from '../../lib/index.js'

const net = (seed = 1): nn.Sequential => {
  const generator = new Generator(seed)
  return new nn.Sequential(
    new nn.Conv2d(1, 8, 3, { generator }),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(288, 16, { generator }),
    new nn.ReLU(),
    new nn.Linear(16, 10, { generator }),
  )
}
const names = (pruner: prune.Pruner): string[] => pruner.report().layers.map(({ name }) => name)
const masks = (model: nn.Module): string =>
  [...model.namedBuffers()]
    .filter(([name]) => name.endsWith('_mask'))
    .map(([name, { data }]) => `${name}:${data.join()}`)
    .join()
/** Everything about a model that may be seen. */
const shown = (model: nn.Module): string => JSON.stringify(Object.entries(model.stateDict()).map(([name, { data }]) => [name, Array.from(data)]))

test('which layers: by name and all below it, pattern, module, class, function', (t) => {
  const model = net()
  const amount = 0.5
  t.deepEqual(names(new prune.Pruner(model, { amount })), ['0', '3', '5'])
  t.deepEqual(names(new prune.Pruner(model, { amount, include: '3' })), ['3'])
  t.deepEqual(names(new prune.Pruner(model, { amount, exclude: ['0', /^5/g] })), ['3'])
  t.deepEqual(names(new prune.Pruner(model, { amount, include: nn.Linear, exclude: model.getModule('5') })), ['3'])
  t.deepEqual(names(new prune.Pruner(model, { amount, include: (name, module) => name === '0' || module instanceof nn.ReLU })), ['0'])
  const nested = new nn.Sequential(net(1), net(2))
  t.deepEqual(names(new prune.Pruner(nested, { amount, include: '1' })), ['1.0', '1.3', '1.5'])
  t.deepEqual(names(new prune.Pruner(model.getModule('3'), { amount })), [''])
})

test('overrides: the last that takes a layer decides, the rest is common', (t) => {
  const model = net()
  const pruner = new prune.Pruner(model, {
    amount: 0.5,
    bias: 'mask',
    overrides: [
      { match: nn.Linear, amount: 0.25, structure: prune.perNeuron },
      { match: '0', structure: prune.filter },
      { match: '5', amount: 3, structure: prune.filter, bias: 'keep' },
    ],
  })
  pruner.step()
  const [conv, hidden, last] = pruner.report().layers
  t.deepEqual([conv.structure, conv.fallen, conv.units, conv.asked], ['filter', 4, 8, 4])
  t.deepEqual([hidden.structure, hidden.fallen, hidden.asked], ['perNeuron', 16 * 72, 16 * 72])
  t.deepEqual([last.structure, last.fallen], ['filter', 3])
  t.not(nn.maskOf(model.getModule('0'), 'bias'), null)
  t.is(nn.maskOf(model.getModule('5'), 'bias'), null)
})

test('asked and achieved, in each layer and in total', (t) => {
  const model = net()
  const pruner = new prune.Pruner(model, { amount: prune.global(0.9) })
  t.deepEqual([pruner.report().total.asked, pruner.report().total.zeros], [null, 0])
  const { total, layers, message, warnings } = pruner.step()!
  const weights = 72 + 288 * 16 + 160
  t.deepEqual([total.units, total.asked, total.fallen, total.zeros], [weights, Math.round(0.9 * weights), Math.round(0.9 * weights), Math.round(0.9 * weights)])
  t.true(layers.every(({ asked }) => asked === null))
  t.is(message, `${total.zeros} of ${weights} weights in 3 layers are 0`)
  t.deepEqual(warnings, [])
  t.is(pruner.step(), null)

  const kept = new prune.Pruner(net(), { structure: prune.filter, amount: prune.atLeast(2, prune.global(33)) }).step()!
  t.is(kept.total.fallen, 34 - 6)
  t.true(kept.warnings.some((warning) => warning.includes('33 units were asked for, 28 have fallen')))
  const capped = new prune.Pruner(new nn.Linear(10, 3), { structure: prune.perNeuron, amount: prune.atLeast(4, 0.8) }).step()!
  t.deepEqual([capped.total.asked, capped.total.fallen], [24, 18])
})

test('dead filters that still emit their bias are reported; bias: mask takes it along, and gives it back', (t) => {
  const model = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.ReLU())
  const conv = model.getModule('0') as nn.Conv2d
  conv.weight.data.set(Array.from({ length: 36 }, (_, i) => 1 + Math.floor(i / 9)))
  conv.bias!.data.set([0.5, 0, -1, 2])
  const kept = new prune.Pruner(model.clone(), { structure: prune.filter, amount: 0.5 }).step()!
  t.deepEqual([kept.total.dead, kept.total.emitting], [2, 1])
  t.regex(kept.warnings.join(), /1 of 2 filters without weights still emit their bias/)

  const pruner = new prune.Pruner(model, { structure: prune.filter, amount: 0.5, bias: 'mask', schedule: prune.redraw(), gradient: prune.straightThrough })
  const report = pruner.start()!
  t.deepEqual([report.total.dead, report.total.emitting, report.warnings.length], [2, 0, 0])
  t.deepEqual(Array.from(conv.effective('bias').data, Math.abs), [0, 0, 1, 2])
  conv.latentWeight('weight').data.fill(9, 0, 9)
  pruner.step()
  t.deepEqual(Array.from(nn.maskOf(conv, 'bias')!.data), [1, 0, 0, 1])
})

test('current weights are ranked, never stale ones', (t) => {
  const layer = new nn.Linear(4, 1, { bias: false })
  layer.weight.data.set([1, 2, 3, 4])
  const pruner = new prune.Pruner(layer, { amount: 2, schedule: prune.iterative({ rounds: 2, frequency: 1 }) })
  t.throws(() => pruner.step(), { code: 'INVALID_ARGUMENT' }) // a count is no share
  const other = new prune.Pruner(layer, { amount: 0.75, schedule: prune.iterative({ rounds: 2, frequency: 1 }) })
  other.start()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), [0, 0, 1, 1])
  layer.latentWeight('weight').data.set([9, 9, 8, 0.5])
  other.step()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), [0, 0, 1, 0])
})

test('of equal scores the lower index in the earlier layer falls first', (t) => {
  const model = new nn.Sequential(new nn.Linear(3, 2, { bias: false }), new nn.Linear(2, 2, { bias: false }))
  for (const parameter of model.parameters()) parameter.data.fill(1)
  new prune.Pruner(model, { amount: prune.global(7) }).step()
  t.is(masks(model), '0.weight_mask:0,0,0,0,0,0,1.weight_mask:0,1,1,1')
})

test('tied layers share their mask', (t) => {
  const [first, second] = [new nn.Linear(4, 4), new nn.Linear(4, 4)]
  second.weight = first.weight
  const model = new nn.Sequential(first, second)
  const pruner = new prune.Pruner(model, { amount: 0.5 })
  pruner.step()
  t.deepEqual(names(pruner), ['0'])
  t.deepEqual(Array.from(nn.maskOf(first, 'weight')!.data), Array.from(nn.maskOf(second, 'weight')!.data))
  pruner.remove()
  t.false(prune.isPruned(model))
})

test('an act that fails changes nothing, in any layer', (t) => {
  const bad: [string, prune.PrunerOptions, (model: nn.Sequential) => void][] = [
    ['NaN among weights', { amount: 0.5 }, (model) => model.getModule('5').latentWeight('weight').data.fill(Number.NaN, 3, 4)],
    ['NaN among scores', { amount: prune.global(0.5), score: (weight) => ops.div(weight, 0).mul(0) }, () => {}],
    ['a score of another shape', { amount: 0.5, score: (weight) => weight.reshape([weight.size]) }, () => {}],
    ['a score that is no tensor', { amount: 0.5, score: () => 3 as never }, () => {}],
    ['more than there is', { amount: 100 }, () => {}],
    ['an amount that is no number', { amount: { name: 'none', of: () => Number.NaN } }, () => {}],
    ['a negative amount', { amount: { name: 'less', of: () => -1 } }, () => {}],
    ['a half amount', { amount: { name: 'half', of: () => 0.5 } }, () => {}],
    ['N:M of channels that do not divide', { structure: prune.nm(2, 4) }, () => {}],
    ['blocks that do not divide', { structure: prune.block(4, 4), amount: 0.5 }, () => {}],
    ['kernel rows of a linear layer', { structure: prune.kernelRow, amount: 0.5 }, () => {}],
    ['a level that is no share', { amount: 0.5, schedule: { name: 'bad', every: 'step', at: () => ({ level: 1.5 }) } }, () => {}],
    ['shares of what remains under a schedule of levels', { amount: prune.fraction(0.5), schedule: prune.polynomial({ end: 9 }) }, () => {}],
    ['a score that has seen nothing', { amount: 0.5, score: prune.taylor }, () => {}],
  ]
  for (const [what, options, prepare] of bad) {
    const model = net()
    prune.l1Unstructured(model.getModule('3'), 'weight', 100)
    prepare(model)
    const [before, state] = [shown(model), masks(model)]
    const pruner = new prune.Pruner(model, { ...options, bias: 'mask' })
    t.throws(() => pruner.step(), { instanceOf: EspalierError }, what)
    t.is(shown(model), before, what)
    t.is(masks(model), state, what)
    t.is(pruner.moment.acts, 0)
  }
})

test('what a pruner cannot be made of is refused', (t) => {
  const model = net()
  const refused = (options: unknown, message: RegExp, of: unknown = model): void => {
    t.throws(
      () => new prune.Pruner(of as nn.Module, options as prune.PrunerOptions),
      { instanceOf: EspalierError, code: 'INVALID_ARGUMENT', message },
      String(message),
    )
  }
  refused({}, /amount is missing/)
  refused(undefined, /options are undefined/)
  refused({ amount: 0.5 }, /the module is null/, null)
  refused({ amount: 0.5 }, /no layer to prune/, new nn.ReLU())
  refused({ amount: 0.5, include: 'conv1' }, /no module "conv1"/)
  refused({ amount: 0.5, exclude: 7 }, /7 is no name/)
  refused({ amount: 0.5, include: nn.BatchNorm2d }, /no layer to prune/)
  refused({ amount: 1.5 }, /amount is 1.5/)
  refused({ amount: -1 }, /amount is -1/)
  refused({ amount: Number.NaN }, /amount is NaN/)
  refused({ amount: '0.5' }, /amount is "0.5"/)
  refused({ amount: 0.5, score: 'l1' }, /score is "l1"/)
  refused({ amount: 0.5, structure: 'filter' }, /structure is "filter"/)
  refused({ amount: 0.5, schedule: 'cubic' }, /schedule is "cubic"/)
  refused({ amount: 0.5, bias: true }, /bias is true/)
  refused({ amount: 0.5, optimizer: {} }, /optimizer is/)
  refused({ amount: 0.5, overrides: { '0': {} } }, /overrides is/)
  refused({ amount: 0.5, overrides: [{ match: 'x' }] }, /no module "x"/)
  for (const bad of [
    () => prune.nm(5, 4),
    () => prune.nm(-1, 4),
    () => prune.nm(0, 0),
    () => prune.block(0, 4),
    () => prune.block(-1, 1),
    () => prune.keep(-3),
    () => prune.keep(1.5),
    () => prune.threshold(Number.NaN),
    () => prune.atLeast(-1, 0.5),
    () => prune.atLeast(1.5, 0.5),
    () => prune.fraction(0.5, { round: 'up' as 'ceil' }),
    () => prune.perGroup(0.5, 'layer' as never),
    () => prune.mixed(),
    () => prune.mixed('filter' as never),
  ])
    t.throws(bad, { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' }, String(bad))
  t.is(masks(model), '')
})

test('a pruner that cannot be made leaves nothing on the model', (t) => {
  const model = net()
  const stranger = new optim.SGD(new nn.Linear(2, 2).parameters(), { lr: 1 })
  t.throws(() => new prune.Pruner(model, { score: prune.taylor, amount: 0.5, optimizer: stranger }), {
    code: 'INVALID_ARGUMENT',
    message: /not one of this optimiser/,
  })
  t.true([...model.modules()].every((module) => module.weightTransforms('weight').length === 0))

  // The second layer has the field of a soft threshold already.
  Object.assign(model.getModule('3'), { weight_soft: null })
  t.throws(() => new prune.Pruner(model, prune.policies.str()), { code: 'STATE' })
  t.false('weight_soft' in model.getModule('0'))
  const [first, second] = [new nn.Linear(4, 4), new nn.Linear(4, 4)]
  second.weight = first.weight
  t.throws(() => new prune.Pruner(new nn.Sequential(first, second), prune.policies.str()), { code: 'INVALID_ARGUMENT', message: /another layer too/ })
})

test('a draw that takes nothing warns, once', async (t) => {
  const warnings: string[] = []
  const listen = (warning: Error & { code?: string }): void => {
    if (warning.code === 'ESPALIER_NO_OP') warnings.push(warning.message)
  }
  process.on('warning', listen)
  const pruner = new prune.Pruner(net(), { structure: prune.filter, amount: 0.05, include: nn.Conv2d, schedule: prune.redraw() })
  const report = pruner.step()!
  pruner.step()
  await new Promise(setImmediate)
  process.off('warning', listen)
  t.deepEqual(warnings, ['Pruner: nothing falls from "0": fraction(0.05 of total) takes none of its 8 units (filter)'])
  t.deepEqual(report.warnings, ['0: nothing falls; fraction(0.05 of total) takes none of its 8 units (filter)'])
})

test('a clone in the middle of pruning goes its own way', (t) => {
  const model = net()
  const options: prune.PrunerOptions = { amount: 0.8, schedule: prune.polynomial({ end: 4 }) }
  const pruner = new prune.Pruner(model, options)
  pruner.step()
  const clone = model.clone()
  const before = masks(clone)
  pruner.step()
  t.is(masks(clone), before)
  t.not(masks(model), before)
  const own = new prune.Pruner(clone, options)
  own.loadStateDict(pruner.stateDict())
  t.is(masks(clone), masks(model))
  t.deepEqual(own.moment, pruner.moment)
})

test('state: a pruner resumed with its model does what one that went on does', (t) => {
  const policies: Record<string, () => prune.PrunerOptions> = {
    gmp: () => prune.policies.gmp({ sparsity: 0.9, end: 40, frequency: 3 }),
    rigl: () => prune.policies.rigl({ sparsity: 0.8, end: 60, frequency: 5, generator: new Generator(3) }),
    set: () => prune.policies.set({ sparsity: 0.8, every: 'step', frequency: 7, generator: new Generator(3) }),
    movement: () => prune.policies.movement({ sparsity: 0.5, end: 40, frequency: 4 }),
    srSte: () => ({ ...prune.policies.srSte(), include: nn.Linear }),
    taylor: () => ({
      score: prune.taylor,
      structure: prune.filter,
      amount: 0.5,
      schedule: prune.polynomial({ begin: 3, end: 33, frequency: 10 }),
      bias: 'mask',
    }),
  }
  for (const [name, options] of Object.entries(policies)) {
    const started = (seed: number) => {
      const model = net(seed)
      const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
      return { model, optimizer, pruner: new prune.Pruner(model, { ...options(), optimizer }) }
    }
    const run = ({ model, optimizer, pruner }: ReturnType<typeof started>, batches: number[]): void => {
      for (const batch of batches) {
        const { inputs, target } = batchOf(batch)
        optimizer.zeroGrad()
        ops.crossEntropy(model.forward(inputs), target).backward()
        optimizer.step()
        pruner.step()
      }
    }
    const [one, other] = [started(1), started(2)]
    run(one, [...Array(20).keys()])
    const saved = { model: one.model.stateDict(), pruner: one.pruner.stateDict(), optimizer: one.optimizer.stateDict() }
    other.pruner.loadStateDict(saved.pruner)
    other.model.loadStateDict(saved.model)
    other.optimizer.loadStateDict(saved.optimizer)
    t.is(shown(other.model), shown(one.model), name)
    t.deepEqual(other.pruner.report(), one.pruner.report(), name)
    const more = Array.from({ length: 20 }, (_, i) => 20 + i)
    run(one, more)
    run(other, more)
    t.is(shown(other.model), shown(one.model), name)
    t.deepEqual(other.pruner.moment, one.pruner.moment)
  }
})

/** A batch that its number fixes. */
function batchOf(index: number): { inputs: Tensor; target: Tensor } {
  const target = Int32Array.from({ length: 16 }, (_, i) => (i * 7 + index) % 10)
  return { inputs: new Generator(100 + index).normal([16, 1, 8, 8]), target: tensor(target, [16]) }
}

test('a state that does not fit is refused, and nothing is changed', (t) => {
  const [model, other] = [net(), new nn.Sequential(new nn.Linear(8, 8))]
  const pruner = new prune.Pruner(model, { amount: 0.5 })
  pruner.step()
  const state = pruner.stateDict()
  const target = new prune.Pruner(other, { amount: 0.5 })
  for (const bad of [
    state,
    {},
    null,
    { ...target.stateDict(), extra: tensor([1]) },
    { ...target.stateDict(), '0.weight_mask': tensor([1, 0]) },
    { ...target.stateDict(), clock: 3 },
  ])
    t.throws(() => target.loadStateDict(bad as Record<string, Tensor>), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  t.false(prune.isPruned(other))
  // Masks that the state does not have come off.
  const fresh = new prune.Pruner(net(), { amount: 0.5 }).stateDict()
  pruner.loadStateDict(fresh)
  t.false(prune.isPruned(model))
})

test('in fit: steps and epochs as the schedule counts, the first act before training', async (t) => {
  const { train } = data.digits()
  const seen: number[] = []
  for (const every of ['step', 'epoch'] as const) {
    const model = net()
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
    const pruner = new prune.Pruner(model, { amount: 0.8, schedule: prune.polynomial({ end: every === 'step' ? 10 : 2, every }), optimizer })
    await fit(model, { train, epochs: 2, batchSize: 256, optimizer, loss: ops.crossEntropy, callbacks: [pruner], progress: false })
    t.is(pruner.report().total.zeros, Math.round(0.8 * 72) + Math.round(0.8 * 4608) + 128)
    seen.push(pruner.moment.tick)
  }
  t.deepEqual(seen, [2 * Math.ceil(train.length / 256), 2])
})

test('by hand, start comes first; later ticks count on', (t) => {
  const ticks: number[] = []
  const spy: prune.Schedule = {
    name: 'spy',
    every: 'step',
    at({ tick }) {
      ticks.push(tick)
      return null
    },
  }
  const pruner = new prune.Pruner(new nn.Linear(2, 2), { amount: 0.5, schedule: spy })
  t.is(pruner.step({ samples: 5 }), null)
  pruner.step({ samples: 7 })
  t.is(pruner.start(), null)
  t.deepEqual(ticks, [0, 1, 2])
  t.deepEqual(pruner.moment, { tick: 2, samples: 12, acts: 0 })
  t.throws(() => pruner.step({ samples: -1 }), { code: 'INVALID_ARGUMENT' })
})

test('observing leaves no trace: outputs, states and gradients are those of the model alone', (t) => {
  const [plain, watched] = [net(), net()]
  const pruner = new prune.Pruner(watched, { amount: 0.5, score: prune.taylor })
  const x = rand([4, 1, 8, 8])
  const gradients = (model: nn.Module): number[][] => {
    ops.sum(ops.square(model.forward(x))).backward()
    return model.parameters().map(({ grad }) => Array.from(grad!.data))
  }
  t.deepEqual(gradients(watched), gradients(plain))
  t.is(shown(watched), shown(plain))
  pruner.detach()
  t.is(watched.getModule('0').weightTransforms('weight').length, 0)
})

test('a promise is observed to its end', async (t) => {
  const layer = new nn.Linear(3, 2).eval()
  const pruner = new prune.Pruner(layer, prune.policies.wanda({ sparsity: 1 / 3 }))
  await pruner.observe(async () => {
    await new Promise(setImmediate)
    layer.forward(rand([2, 3]))
  })
  t.not(pruner.step(), null)
  await t.throwsAsync(async () => pruner.observe(() => Promise.reject(new Error('no data'))), { message: 'no data' })
})
