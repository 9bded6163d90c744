// The convolutions of a trained network lose 10, 20, … 80% of their filters, those of the smallest L2 norm, with
// and without the biases that fallen filters would go on emitting:
//
//   node --import=tsx examples/filterPruning.ts
import { prune } from 'espalier'
import { testAccuracy, trainedConvNet } from './convNet.js'
import { percent, table } from './table.js'

const model = await trainedConvNet()
const variants = [model, model.clone()].map((net, i) => ({ net, bias: (['keep', 'mask'] as const)[i] }))

const rows: (string | number)[][] = [['0%', 32, ...Array(2).fill(percent(await testAccuracy(model)))]]
for (const share of [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]) {
  const left = Math.round((1 - share) * 32)
  const shares: string[] = []
  for (const { net, bias } of variants) {
    for (const conv of [net.conv1, net.conv2]) prune.lnStructured(conv, 'weight', 32 - left, 2, 0, { of: 'total', bias })
    shares.push(percent(await testAccuracy(net)))
  }
  rows.push([`${100 * share}%`, left, ...shares])
}
console.log(table(['asked', 'filters left of 32', 'test accuracy, bias kept', 'bias masked'], rows))
