// Pruning and quantisation on the device.
import { data, Generator, manualSeed, nn, noGrad, ops, optim, prune, qnn, quant, rand, tensor } from '../../lib/index.js'
import { DeviceArray, native } from '../../lib/native/index.js'
import { check, close, refused, require } from './harness.js'

function twins<T>(make: () => T): [here: T, there: T] {
  manualSeed(7)
  const here = make()
  manualSeed(7)
  return [here, make()]
}

check('masks are those of the CPU', () => {
  const ways: Record<string, (layer: nn.Linear) => void> = {
    l1Unstructured: (layer) => void prune.l1Unstructured(layer, 'weight', 0.7),
    'l1Unstructured twice': (layer) => void prune.l1Unstructured(prune.l1Unstructured(layer, 'weight', 0.5), 'weight', 0.5),
    lnStructured: (layer) => void prune.lnStructured(layer, 'weight', 0.25, 2, 0),
    randomUnstructured: (layer) => void prune.randomUnstructured(layer, 'weight', 0.5, { generator: new Generator(3) }),
    fanIn: (layer) => nn.setMask(layer, 'weight', nn.fanInMask(layer.weight, 5)),
  }
  for (const [name, way] of Object.entries(ways)) {
    const [here, there] = twins(() => new nn.Linear(33, 20))
    there.to('cuda')
    way(here)
    way(there)
    close(nn.maskOf(there, 'weight')!, nn.maskOf(here, 'weight')!, 0, name)
    require(nn.maskOf(there, 'weight')?.device === 'cuda', 'the mask is there')
    close(there.effective('weight'), here.effective('weight'), 0, `${name}, effective`)
  }
})

/** Whether the selections that `body` makes are made where the weights lie. */
function selectedThere(body: () => void): boolean {
  const { pruneSmallest, pruneGroups } = native
  const places = new Set<boolean>()
  native.pruneSmallest = (...args) => {
    for (const array of [...args[0], ...args[1], ...args[4]]) places.add(array instanceof DeviceArray)
    return pruneSmallest(...args)
  }
  native.pruneGroups = (...args) => {
    places.add(args[0] instanceof DeviceArray)
    pruneGroups(...args)
  }
  try {
    body()
  } finally {
    Object.assign(native, { pruneSmallest, pruneGroups })
  }
  return places.size === 1 && places.has(true)
}

check('single weights are ranked where they lie, to the masks of the CPU', () => {
  const make = () => {
    const model = new nn.Sequential(new nn.Conv2d(4, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 12))
    // Few values, many of them equal: which of those falls is told by their places alone.
    for (const parameter of model.parameters()) for (let i = 0; i < parameter.size; i++) parameter.data[i] = Math.round(parameter.data[i] * 60) / 60
    return model
  }
  const scaled = (model: nn.Sequential): void => {
    const [conv, , , linear] = model.children()
    const size = (conv as nn.Conv2d).latentWeight('weight').size
    nn.setMask(
      conv,
      'weight',
      tensor(
        Float32Array.from({ length: size }, (_, i) => [1, 0, 0.5][i % 3]),
        [8, 4, 3, 3],
      ),
    )
    nn.setMask(linear, 'weight', nn.fanInMask((linear as nn.Linear).weight, 200))
  }
  const ways: Record<string, { options: prune.PrunerOptions; before?: (model: nn.Sequential) => void; steps?: number }> = {
    global: { options: { amount: prune.global(0.7) } },
    'each layer': { options: { amount: 0.6 } },
    'a count': { options: { amount: prune.global(1000) } },
    'in two steps': { options: { amount: prune.global(0.8), schedule: prune.iterative({ rounds: 2, frequency: 1, every: 'step' }) }, steps: 2 },
    'onto masks, one of them of other values': { options: { amount: prune.global(0.9) }, before: scaled },
    'the largest norm': { options: { score: prune.ln(Number.POSITIVE_INFINITY), amount: prune.global(0.5) } },
    erk: { options: { amount: prune.erk(0.8) } },
    threshold: { options: { amount: prune.threshold(1 / 30) } },
    'threshold, strictly': { options: { amount: prune.global(prune.threshold(1 / 30, { strictly: true })) } },
    'levels of a threshold': { options: { amount: prune.deltaIteration(0.5, 0.01) } },
    'some of each layer': { options: { amount: prune.atLeast(0.4, prune.global(0.9)) } },
    '2:4': { options: { structure: prune.nm(2, 4) } },
    '2:4 onto masks': { options: { structure: prune.nm(2, 4) }, before: scaled },
    '1:4, some of the groups': { options: { structure: prune.nm(1, 4), amount: prune.threshold(1 / 30) } },
    'each neuron': { options: { structure: prune.perNeuron, amount: prune.keep(7) } },
    'each neuron, onto masks': { options: { structure: prune.perNeuron, amount: prune.atLeast(3, 0.95) }, before: scaled },
  }
  for (const [name, { options, before, steps = 1 }] of Object.entries(ways)) {
    const [here, there] = twins(make)
    there.to('cuda')
    const [expected, found] = [here, there].map((model) => {
      before?.(model)
      const pruner = new prune.Pruner(model, options)
      const prunes = (): void => {
        for (let step = 0; step < steps; step++) pruner.step()
      }
      if (model === there) require(selectedThere(prunes), `${name}: selected there`)
      else prunes()
      return JSON.stringify(pruner.report())
    })
    require(found === expected, `${name}: ${found} = ${expected}`)
    for (const [key, value] of Object.entries(there.stateDict())) {
      require(key.includes('num_') || value.device === 'cuda', `${name}: ${key} is there`)
      close(value, here.stateDict()[key], 0, `${name}: ${key}`)
    }
  }
})

check('what cannot be ranked there leaves every mask as it was', () => {
  for (const structure of [prune.element, prune.nm(2, 4), prune.perNeuron]) {
    const layer = new nn.Linear(8, 4)
    layer.weight.data[13] = Number.NaN
    layer.to('cuda')
    const pruner = new prune.Pruner(layer, { structure, amount: structure.amount ?? 0.5 })
    refused('INVALID_ARGUMENT', () => pruner.step())
    require(nn.maskOf(layer, 'weight') === null, 'no mask')
  }
  const layer = new nn.Linear(8, 4).to('cuda')
  refused('SHAPE_MISMATCH', () => new prune.Pruner(layer, { structure: prune.nm(2, 3) }).step())
  const scores = rand([4, 8])
  for (const place of ['cpu', 'cuda'] as const) {
    const given = new prune.Pruner(layer, { score: prune.given(scores.to(place)), amount: 0.5 })
    require(!selectedThere(() => given.step()), 'given scores are ranked on the CPU')
    require(given.report().total.zeros === 16, 'half falls')
    given.remove()
  }
})

check('pruned globally, trained under its masks, and lifted', () => {
  const [here, there] = twins(() => new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10)))
  there.to('cuda')
  for (const model of [here, there]) {
    const [conv, , , linear] = model.children()
    prune.globalUnstructured(
      [
        [conv, 'weight'],
        [linear, 'weight'],
      ],
      { method: prune.L1Unstructured, amount: 0.8 },
    )
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.9 })
    const device = model.parameters()[0].device
    for (const [x, y] of [...new data.DataLoader(data.digits().train, { batchSize: 32 })].slice(0, 8)) {
      optimizer.zeroGrad()
      ops.crossEntropy(model.forward(x.to(device)), y.to(device)).backward()
      optimizer.step()
    }
    const zeros = (linear as nn.Linear).effective('weight').sign().abs().sum().item()
    require(zeros < 0.3 * 2880, 'pruned weights stay pruned')
    nn.removeMask(linear, 'weight')
  }
  const state = here.stateDict()
  for (const [name, value] of Object.entries(there.stateDict())) close(value, state[name], 2e-3, name)
})

check('pruners of every kind of part do there what they do here', () => {
  const { policies } = prune
  const ways: Record<string, () => prune.PrunerOptions> = {
    gmp: () => policies.gmp({ sparsity: 0.8, end: 6, frequency: 2 }),
    rigl: () => policies.rigl({ sparsity: 0.8, end: 9, frequency: 2, generator: new Generator(3) }),
    srSte: () => ({ ...policies.srSte(), include: nn.Linear }),
    sfp: () => ({ ...policies.sfp({ rate: 0.5, every: 'step', frequency: 2, harden: 6 }), include: nn.Conv2d, bias: 'mask' }),
    taylor: () => ({ score: prune.taylor, structure: prune.filter, amount: 0.25, schedule: prune.oneShot({ at: 3 }), bias: 'mask' }),
    fpgm: () => policies.fpgm({ rate: 0.25 }),
    wanda: () => ({ ...policies.wanda({ sparsity: 0.5 }), schedule: prune.oneShot({ at: 2 }) }),
    str: () => policies.str(),
  }
  for (const [name, options] of Object.entries(ways)) {
    const [here, there] = twins(() => new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10)))
    there.to('cuda')
    const [ours, theirs] = [here, there].map((model) => {
      const pruner = new prune.Pruner(model, options())
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
      const device = model.parameters()[0].device
      for (const [x, y] of [...new data.DataLoader(data.digits().train, { batchSize: 32 })].slice(0, 6)) {
        optimizer.zeroGrad()
        ops.crossEntropy(model.forward(x.to(device)), y.to(device)).backward()
        optimizer.step()
        pruner.step()
      }
      return pruner
    })
    const [reported, found] = [ours.report(), theirs.report()]
    // Weights that agree to some digits may rank differently where they are all but equal.
    require(Math.abs(found.total.zeros - reported.total.zeros) <= (name === 'str' ? 3 : 0), `${name}: ${found.message}, here ${reported.message}`)
    require(found.total.dead === reported.total.dead && found.total.emitting === reported.total.emitting, `${name}: dead filters`)
    const again = new prune.Pruner(there.clone(), options())
    again.loadStateDict(theirs.stateDict())
    theirs.remove()
    ours.remove()
    const state = here.stateDict()
    for (const [key, value] of Object.entries(there.stateDict())) close(value, state[key], name === 'taylor' || name === 'gmp' ? 5e-3 : 2e-2, `${name}: ${key}`)
  }
})

check('the diagonal of a Hessian, probed there', () => {
  const [here, there] = twins(() => new nn.Linear(6, 3))
  there.to('cuda')
  const x = rand([8, 6])
  for (const model of [here, there]) {
    const pruner = new prune.Pruner(model, { score: prune.hessian, amount: 0.5 })
    pruner.probe(() => ops.sum(ops.square(model.forward(x.to(model.weight.device)))), { probes: 3, generator: new Generator(1) })
    pruner.step()
  }
  close(nn.maskOf(there, 'weight')!, nn.maskOf(here, 'weight')!, 0, 'masks')
})

check('the limit of active inputs, drawn and lifted', () => {
  const [here, there] = twins(() => new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.Flatten(), new nn.Linear(288, 10)))
  there.to('cuda')
  const reports = [here, there].map((model) => prune.togglePruning(model, true, { active: 6 }))
  require(JSON.stringify(reports[0]) === JSON.stringify(reports[1]), 'the same report')
  prune.togglePruning(there, false)
  prune.togglePruning(here, false)
  for (const [name, value] of Object.entries(there.stateDict())) close(value, here.stateDict()[name], 0, name)
})

check('quantised layers train, evaluate in integers and certify', () => {
  const make = () =>
    new nn.Sequential(
      new qnn.QuantIdentity({ bits: 4, collectSteps: 3 }),
      new qnn.QuantConv2d(1, 8, 3, { weightBits: 4, biasBits: 12, perChannel: true }),
      new qnn.QuantReLU({ bits: 3, collectSteps: 3 }),
      new nn.MaxPool2d(2),
      new nn.Flatten(),
      new qnn.QuantLinear(72, 10, { weightBits: 3 }),
    )
  const [here, there] = twins(make)
  there.to('cuda')
  const batches = [...new data.DataLoader(data.digits().train, { batchSize: 32 })].slice(0, 6)
  const losses = [here, there].map((model) => {
    const device = model.parameters()[0].device
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
    return batches.map(([x, y]) => {
      optimizer.zeroGrad()
      const loss = ops.crossEntropy(model.forward(x.to(device)), y.to(device))
      loss.backward()
      optimizer.step()
      return loss.item()
    })
  })
  // A weight on the edge between two codes may fall to either side, and a step later that is a different network.
  close(tensor(losses[1]), tensor(losses[0]), 2e-2, 'losses')
  here.loadStateDict(there.stateDict())
  const [x] = batches[0]
  const evaluated = [here.eval(), there.eval()].map((model) => noGrad(() => model.forward(x.to(model.parameters()[0].device))))
  close(evaluated[1], evaluated[0], 1e-5, 'evaluation')
  const exact = [here, there].map((model) => noGrad(() => quant.inIntegers(() => model.forward(x.to(model.parameters()[0].device)))))
  close(exact[1], exact[0], 1e-6, 'in integers')
  require(String(quant.certify(there)) === String(quant.certify(here)), 'the same certificate')
})

check('a straight-through mask passes its gradient', () => {
  const layer = new nn.Linear(6, 4).to('cuda')
  nn.setMask(layer, 'weight', nn.fanInMask(layer.weight, 2), { gradient: prune.straightThrough })
  layer
    .forward(rand([3, 6]).to('cuda'))
    .sum()
    .backward()
  require(layer.latentWeight('weight').grad?.device === 'cuda', 'a gradient')
})
