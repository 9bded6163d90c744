// N2D2's pruning quantiser in a training: the same network under a static threshold and under one that grows
// by 0.1 with every 2,000 samples, until 80% of its weights are masked:
//
//   node --import=tsx examples/n2d2.ts
import { accuracy, type Callback, data, evaluate, fit, Generator, manualSeed, nn, ops, optim, prune } from 'espalier'
import { percent, table } from './table.js'

const { train, test } = data.digits()
const transform = data.scale(1 / 16)
const testLoader = new data.DataLoader(test, { batchSize: 450, transform })

const settings = {
  Static: { threshold: 0.8 },
  Gradual: { threshold: 0.8, start: 0.1, gamma: 0.1, stepsize: 2000 }, // N2D2 takes these under Static too, to no effect
} as const

for (const pruneMode of ['Static', 'Gradual'] as const) {
  manualSeed(1)
  const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 64), new nn.ReLU(), new nn.Linear(64, 10))
  const layers = [...model.children()].filter((module) => module instanceof nn.Linear)

  // As in N2D2 each layer has a cell of its own, which draws from the layer's own weights.
  const cells = layers.map((layer) =>
    new prune.PruneCell({ pruneMode, pruneFiller: 'IterNonStruct', delta: 0.001, ...settings[pruneMode] }).addWeights(layer).addBiases(layer),
  )
  const masked = (cell: prune.PruneCell): number => 1 - ops.mean(cell.getPrunedMasks()).item()

  const rows: (string | number)[][] = []
  const watch: Callback = {
    async onEpochEnd(_, { epoch, train: { loss } }) {
      const scores = await evaluate(model, testLoader, { metrics: { accuracy } })
      rows.push([
        epoch + 1,
        cells[0].getCurrentThreshold().toFixed(2),
        ...cells.map((cell) => percent(masked(cell))),
        loss.toFixed(3),
        percent(scores.accuracy),
      ])
    },
  }
  const loader = new data.DataLoader(train, { batchSize: 32, shuffle: true, generator: new Generator(1), transform })
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
  await fit(model, { train: loader, epochs: 16, optimizer, loss: ops.crossEntropy, callbacks: [...cells, watch] })

  console.log(`${pruneMode}, threshold ${settings[pruneMode].threshold}`)
  console.log(table(['epoch', 'threshold', 'masked of layer 1', 'of layer 2', 'loss', 'test accuracy'], rows))
}
