import { accuracy, data, evaluate, fit, Generator, manualSeed, nn, ops, optim, type Tensor } from 'espalier'

/** The small network of many pruning exercises: two convolutions, two linear layers, dropout: [n, 1, 28, 28] → [n, 10]. */
export class ConvNet extends nn.Module {
  conv1: nn.Conv2d
  conv2: nn.Conv2d
  fc1: nn.Linear
  dropout: nn.Dropout
  fc2: nn.Linear

  constructor() {
    super()
    this.conv1 = new nn.Conv2d(1, 32, 5)
    this.conv2 = new nn.Conv2d(32, 32, 3)
    this.fc1 = new nn.Linear(32 * 5 * 5, 128)
    this.dropout = new nn.Dropout(0.5)
    this.fc2 = new nn.Linear(128, 10)
  }

  override forward(x: Tensor): Tensor {
    x = ops.maxPool2d(this.conv1.forward(x).relu(), { kernelSize: 2 })
    x = ops.maxPool2d(this.conv2.forward(x).relu(), { kernelSize: 2 })
    x = this.fc1.forward(x.flatten(1)).relu()
    return this.fc2.forward(this.dropout.forward(x))
  }
}

const { train, test } = data.mnist()
const transform = data.normalize(0.1307, 0.3081)
const testLoader = new data.DataLoader(test, { batchSize: 500, transform })

/** A `ConvNet` after a pass over a part of MNIST. */
export async function trainedConvNet(samples = 20_000): Promise<ConvNet> {
  manualSeed(1)
  const model = new ConvNet()
  const part = new data.Subset(
    train,
    Int32Array.from({ length: samples }, (_, i) => i),
  )
  const loader = new data.DataLoader(part, { batchSize: 64, shuffle: true, generator: new Generator(1), transform })
  await fit(model, { train: loader, optimizer: new optim.Adam(model.parameters(), { lr: 0.001 }), loss: ops.crossEntropy })
  return model
}

/** Its accuracy on the test set; `evaluate` switches dropout off. */
export const testAccuracy = async (model: ConvNet): Promise<number> => (await evaluate(model, testLoader, { metrics: { accuracy } })).accuracy
