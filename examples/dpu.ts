// Dynamic pruning units at work: what happens to the gradients of filters that are masked, and what comes of a
// training in which they may return:
//
//   node --import=tsx examples/dpu.ts
import { accuracy, type Callback, data, evaluate, fit, Generator, manualSeed, nn, ops, optim, prune } from 'espalier'
import { percent, table } from './table.js'

const { train, test } = data.digits()
const transform = data.scale(1 / 16)
const trainLoader = () => new data.DataLoader(train, { batchSize: 64, shuffle: true, generator: new Generator(1), transform })
const testLoader = new data.DataLoader(test, { batchSize: 450, transform })

function network(): nn.Sequential {
  manualSeed(1)
  return new nn.Sequential(
    new nn.Conv2d(1, 8, 3),
    new nn.BatchNorm2d(8),
    new nn.ReLU(),
    new nn.Conv2d(8, 16, 3),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(256, 10),
  )
}
const convolutions = { include: nn.Conv2d }

/** The two ways of masking the filters of the smallest L1 norm, drawn anew by epoch in the one case. */
const ways = {
  ordinary: (model: nn.Module, rate: number) =>
    new prune.Pruner(model, { structure: prune.filter, amount: prune.perTensor(rate), bias: 'mask', ...convolutions }),
  dpu: (model: nn.Module, rate: number) => new prune.Dpu(model, { rate, ...convolutions }),
}

// One step on one batch, the first and the second convolution half masked.
const [[images, labels]] = trainLoader()
const norms = Object.values(ways).map((way) => {
  const model = network()
  way(model, 0.5).start()
  ops.crossEntropy(model.forward(images), labels).backward()
  const conv = model.at(3) as nn.Conv2d
  const filters = ops.reshape(conv.latentWeight('weight').grad!, [16, -1])
  return { mask: nn.maskOf(conv, 'bias')!.data, gradients: ops.sqrt(ops.sum(ops.square(filters), { dim: 1 })).data }
})
console.log('The gradient of each filter of the second convolution in one step')
console.log(
  table(
    ['filter', 'in the forward pass', '‖gradient‖ under ordinary pruning', 'under a DPU'],
    Array.from(norms[0].mask, (stands, i) => [i, stands === 1 ? 'yes' : 'masked', ...norms.map(({ gradients }) => gradients[i].toExponential(4))]),
  ),
)

// A training with three of four filters masked from its first step on.
const rows: (string | number)[][] = []
for (const [name, way] of Object.entries(ways)) {
  const model = network()
  const pruner = way(model, 0.75)
  const conv = model.at(3) as nn.Conv2d
  let [returned, before] = [0, '']
  const watch: Callback = {
    onEpochEnd() {
      const now = nn.maskOf(conv, 'bias')!.data.join('')
      for (let i = 0; i < before.length; i++) if (before[i] < now[i]) returned++
      before = now
    },
  }
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
  await fit(model, { train: trainLoader(), epochs: 20, optimizer, loss: ops.crossEntropy, callbacks: [pruner, watch] })
  const masked = percent(pruner.report().total.sparsity)
  pruner.remove()
  rows.push([name, masked, returned, percent((await evaluate(model, testLoader, { metrics: { accuracy } })).accuracy)])
}
console.log('\nTrained with three of four filters masked')
console.log(table(['pruning', 'weights masked', 'filters that returned', 'test accuracy'], rows))
