// A trained network loses 10, 20, … 80% of all its weights, the smallest anywhere, and is measured after each step:
//
//   node --import=tsx examples/globalPruning.ts
import { nn, prune } from 'espalier'
import { testAccuracy, trainedConvNet } from './convNet.js'
import { percent, table } from './table.js'

const model = await trainedConvNet()
const layers = [model.conv1, model.conv2, model.fc1, model.fc2]
const weights = layers.map((layer): prune.Pair => [layer, 'weight'])

/** Share of the weights of one layer, or of all, that are masked. */
const masked = (...some: nn.Module[]): number => {
  const entries = some.flatMap((layer) => Array.from(nn.maskOf(layer, 'weight')?.data ?? [1]))
  return entries.filter((entry) => entry === 0).length / entries.length
}

const rows = [['0%', '0.0%', ...layers.map(() => '0.0%'), percent(await testAccuracy(model))]]
for (const amount of [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]) {
  // Of the total: without it each call would take its share of what the last one left, 99.6% in the end.
  prune.globalUnstructured(weights, { method: prune.L1Unstructured, amount, of: 'total' })
  rows.push([`${100 * amount}%`, percent(masked(...layers)), ...layers.map((layer) => percent(masked(layer))), percent(await testAccuracy(model))])
}
console.log(table(['asked', 'masked', 'conv1', 'conv2', 'fc1', 'fc2', 'test accuracy'], rows))
