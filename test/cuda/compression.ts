// Pruning and quantisation on the device.
import { data, Generator, manualSeed, nn, noGrad, ops, optim, prune, qnn, quant, rand, tensor } from '../../lib/index.js'
import { check, close, require } from './harness.js'

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

check('a Pruner observes, draws, masks and regrows there', () => {
  const make = () => new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 48), new nn.ReLU(), new nn.Linear(48, 32), new nn.ReLU(), new nn.Linear(32, 10))
  const polynomial = prune.polynomial({ begin: 2, end: 6, frequency: 2 })
  const ways: Record<string, Omit<prune.PrunerOptions, 'optimizer'>> = {
    'l1, globally': { amount: prune.global(0.8), schedule: polynomial },
    lamp: { score: prune.lamp, amount: 0.6, schedule: polynomial },
    'filters by fpgm': { score: prune.fpgm(), structure: prune.filter, amount: 0.25, schedule: polynomial, exclude: '5' },
    '2:4, SR-STE': { structure: prune.nm(2, 4), gradient: prune.srSte(), schedule: polynomial },
    gradientMagnitude: { score: prune.gradientMagnitude, amount: 0.5, schedule: polynomial },
    taylor: { score: prune.taylor, amount: 0.5, schedule: polynomial },
    movement: { score: prune.movement, amount: 0.5, schedule: polynomial },
    wanda: { score: prune.wanda, amount: 0.5, schedule: polynomial },
    hessian: { score: prune.hessian, amount: 0.5, schedule: polynomial },
    regrowth: { amount: 0.7, schedule: prune.regrowth({ by: prune.gradientMagnitude, frequency: 2, end: 8 }) },
  }
  for (const [name, options] of Object.entries(ways)) {
    const [here, there] = twins(make)
    there.to('cuda')
    for (const model of [here, there]) {
      const device = model.parameters()[0].device
      const optimizer = new optim.SGD(model.parameters(), { lr: 0.02, momentum: 0.9 })
      const pruner = new prune.Pruner(model, { ...options, optimizer })
      const batches = [...new data.DataLoader(data.digits().train, { batchSize: 32 })].slice(0, 8)
      for (const [x, y] of batches) {
        const loss = () => ops.crossEntropy(model.forward(x.to(device)), y.to(device))
        optimizer.zeroGrad()
        loss().backward()
        optimizer.step()
        if (name === 'hessian') pruner.probe(loss, { generator: new Generator(3) })
        pruner.step()
      }
      require(pruner.report().total.zeros > 0, `${name}: something fell on ${device}`)
    }
    for (const [i, layer] of [...there.children()].entries()) {
      if (!(layer instanceof nn.Linear)) continue
      const [a, b] = [layer, [...here.children()][i]].map((one) => nn.maskOf(one, 'weight')?.to('cpu'))
      require((a === undefined) === (b === undefined), `${name}: layers are masked alike`)
      if (a === undefined || b === undefined) continue
      require(nn.maskOf(layer, 'weight')?.device === 'cuda', `${name}: the mask is there`)
      // Weights of almost the same score may fall in another order.
      const differing = a.sub(b).abs().mean().item()
      require(differing < 0.02, `${name}: ${(100 * differing).toFixed(1)}% of a mask differ`)
    }
  }
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

check('sparse layers hold and train their kept weights alone', () => {
  for (const keep of ['unstructured', 'fan-in'] as const) {
    const [here, there] = twins(() => {
      const dense = new nn.Linear(60, 40)
      if (keep === 'fan-in') nn.setMask(dense, 'weight', nn.fanInMask(dense.weight, 6))
      else prune.l1Unstructured(dense, 'weight', 0.9)
      return nn.SparseLinear.from(dense)
    })
    there.to('cuda')
    require(there.weight.device === 'cuda' && there.positions.device === 'cpu', 'weights move, their places stay')
    const x = rand([17, 60]).sub(0.5)
    for (const layer of [here, there]) {
      const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1, momentum: 0.9 })
      for (let step = 0; step < 3; step++) {
        optimizer.zeroGrad()
        layer.forward(x.to(layer.weight.device)).square().sum().backward()
        optimizer.step()
      }
    }
    close(there.weight, here.weight, 1e-5, `${keep}, weight`)
    close(there.toLinear().weight, here.toLinear().weight, 1e-5, `${keep}, dense again`)
    close(there.clone().to('cpu').forward(x), here.forward(x), 1e-5, `${keep}, back`)
  }
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
