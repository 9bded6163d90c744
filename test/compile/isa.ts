// Pruned and quantised networks, in every format, on the instruction set that the environment forces; prints which.

import { compile, manualSeed, nn, noGrad, prune, rand } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { QuantTinyCNN } from '../support/quantTinyCnn.js'

manualSeed(3)
const pruned = new nn.Sequential(
  ...[new nn.Conv2d(2, 7, 5, { padding: 2 }), new nn.BatchNorm2d(7), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Conv2d(7, 9, 3, { stride: 2 })],
  ...[new nn.Flatten(), new nn.Linear(81, 50), new nn.Sigmoid(), new nn.Linear(50, 10)],
)
for (const module of pruned.modules()) if (module instanceof nn.Conv2d || module instanceof nn.Linear) prune.l1Unstructured(module, 'weight', 0.8)
const quantised = new QuantTinyCNN(4).train()
for (let i = 0; i < 5; i++) quantised.forward(rand([16, 1, 8, 8]))

for (const [model, input, tolerance] of [
  [pruned, [2, 15, 15], 1e-5],
  [quantised, [1, 8, 8], 0],
] as const) {
  model.eval()
  const program = compile(model, { input })
  for (const tune of [false, true]) {
    if (tune) program.tune(1, 33)
    for (const n of [1, 2, 19, 33]) {
      const x = rand([n, ...input])
      const [actual, expected] = [program.run(x).data, noGrad(() => model.forward(x)).data]
      for (let i = 0; i < expected.length; i++)
        if (!(Math.abs(actual[i] - expected[i]) <= tolerance)) throw new Error(`batch ${n}: ${actual[i]}, expected ${expected[i]}`)
    }
  }
}
console.log(native.isa())
