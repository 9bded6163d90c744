// A multi-layer perceptron on the digits, in twenty lines: node --import=tsx examples/digits.ts
import { accuracy, data, evaluate, fit, manualSeed, nn, ops, optim } from 'espalier'

manualSeed(0)
const { train, test } = data.digits()
const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 64), new nn.ReLU(), new nn.Linear(64, 10))
const optimizer = new optim.Adam(model.parameters(), { lr: 0.003 })
await fit(model, { train, epochs: 30, batchSize: 32, optimizer, loss: ops.crossEntropy })

const scores = await evaluate(model, test, { metrics: { accuracy } })
console.log(String(model))
console.log(`test accuracy ${(100 * scores.accuracy).toFixed(2)}%`)
