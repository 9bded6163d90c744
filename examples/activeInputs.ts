// TinyCNN with a cap on the active inputs of every neuron, as networks for narrow accumulators are trained:
//
//   node --import=tsx examples/activeInputs.ts
import { accuracy, data, evaluate, fit, Generator, manualSeed, ops, optim, prune } from 'espalier'
import { percent, table } from './table.js'
import { TinyCNN } from './tinyCnn.js'

const { train, test } = data.digits()
const transform = data.scale(1 / 16)
const testLoader = new data.DataLoader(test, { batchSize: 450, transform })

/** Trains one network under a cap; its accuracy, and what the cap did. */
async function trained(active: number): Promise<{ share: number; report: prune.ToggleReport }> {
  manualSeed(1)
  const model = new TinyCNN()
  const report = prune.togglePruning(model, true, { active })
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
  const loader = new data.DataLoader(train, { batchSize: 64, shuffle: true, generator: new Generator(1), transform })
  await fit(model, { train: loader, epochs: 25, optimizer, loss: ops.crossEntropy, schedule: new optim.CosineAnnealingLR(optimizer, { tMax: 25 }) })
  prune.togglePruning(model, false) // the zeros become ordinary weights
  return { share: (await evaluate(model, testLoader, { metrics: { accuracy } })).accuracy, report }
}

const rows: (string | number)[][] = []
// No neuron of this network has 110 inputs. A cap that no layer reaches changes nothing, which is easily
// overlooked in a sweep: the report says so, and a warning is emitted.
for (const active of [4, 8, 12, 24, 48, 110]) {
  const { share, report } = await trained(active)
  const weights = report.layers.map(({ maxActive, fanIn }) => `${maxActive}/${fanIn}`).join('  ')
  rows.push([active, weights, percent(share), report.message])
}
console.log(table(['n_active', 'active inputs/fan-in by layer', 'test accuracy', 'what happened'], rows))
