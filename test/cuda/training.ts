// Training on the device against the CPU: the same network, batches and seeds.
import { accuracy, cuda, data, evaluate, fit, Generator, manualSeed, nn, noGrad, ops, optim, rand, type Tensor, tensor } from '../../lib/index.js'
import { check, close, emulated, require } from './harness.js'

const mlp = () => new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 48), new nn.GELU(), new nn.LayerNorm(48), new nn.Dropout(0.1), new nn.Linear(48, 10))
const cnn = () =>
  new nn.Sequential(
    // No bias: before a batch norm its gradient is rounding alone, which AdamW makes steps as long as any of.
    new nn.Conv2d(1, 16, 3, { padding: 1, bias: false }),
    new nn.BatchNorm2d(16),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(16, 32, 3, { padding: 1, groups: 4, bias: false }),
    new nn.BatchNorm2d(32),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(2),
    new nn.Flatten(),
    new nn.Linear(128, 10),
  )

const optimizers: Record<string, (params: Tensor[]) => optim.Optimizer<{ lr: number }>> = {
  'SGD with momentum': (params) => new optim.SGD(params, { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 }) as never,
  AdamW: (params) => new optim.AdamW(params, { lr: 0.01 }) as never,
  RMSprop: (params) => new optim.RMSprop(params, { lr: 0.003, momentum: 0.5, centered: true }) as never,
}

function train(device: 'cpu' | 'cuda', make: () => nn.Module, optimizer: (params: Tensor[]) => { step(): void; zeroGrad(): void }, steps: number) {
  manualSeed(1)
  const model = make().to(device)
  const update = optimizer(model.parameters())
  const loader = new data.DataLoader(data.digits().train, { batchSize: 32, shuffle: true, generator: new Generator(4) })
  const losses: number[] = []
  for (const [x, y] of loader) {
    if (losses.length === steps) break
    const loss = ops.crossEntropy(model.forward(x.to(device)), y.to(device), { labelSmoothing: 0.05 })
    update.zeroGrad()
    loss.backward()
    optim.clipGradNorm(model.parameters(), 5)
    update.step()
    losses.push(loss.item())
  }
  return { model, losses }
}

for (const [name, optimizer] of Object.entries(optimizers))
  for (const [network, make] of Object.entries({ MLP: mlp, CNN: cnn }))
    check(`${network} trained by ${name}`, () => {
      const [here, there] = (['cpu', 'cuda'] as const).map((device) => train(device, make, optimizer, 12))
      close(tensor(there.losses), tensor(here.losses), 2e-3, 'losses')
      const state = here.model.stateDict()
      for (const [key, value] of Object.entries(there.model.stateDict())) if (value.dtype === 'float32') close(value, state[key], 2e-2, key)
    })

check('a network goes there and back, is copied, and takes states from either side', () => {
  manualSeed(2)
  const model = cnn()
  const x = rand([4, 1, 8, 8])
  const before = noGrad(() => model.eval().forward(x))
  model.to('cuda')
  require(model.parameters().every(({ device }) => device === 'cuda') && [...model.namedBuffers()].some(([, { device }]) => device === 'cuda'), 'moved')
  close(
    noGrad(() => model.forward(x.to('cuda'))),
    before,
    1e-5,
    'there',
  )
  const copy = model.clone()
  for (const parameter of model.parameters()) parameter.dispose()
  close(
    noGrad(() => copy.forward(x.to('cuda'))),
    before,
    1e-5,
    'a copy',
  )
  const fresh = cnn().eval()
  fresh.loadStateDict(copy.stateDict())
  close(
    noGrad(() => fresh.forward(x)),
    before,
    0,
    'its state on the CPU',
  )
  const other = cnn().eval().to('cuda')
  other.loadStateDict(fresh.stateDict())
  close(
    noGrad(() => other.forward(x.to('cuda'))),
    before,
    1e-5,
    'and there again',
  )
  close(
    noGrad(() => copy.to('cpu').forward(x)),
    before,
    0,
    'back',
  )
})

check('an optimiser goes along when its parameters move', () => {
  const [here, there] = ['cpu', 'cuda'].map((target) => {
    manualSeed(3)
    const model = new nn.Linear(8, 4)
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.1 })
    const mask = tensor(Array.from({ length: 32 }, (_, i) => i % 3 && 1)).reshape([4, 8])
    optimizer.setMask(model.weight, mask)
    const step = () => {
      optimizer.zeroGrad()
      model
        .forward(
          tensor(Array.from({ length: 16 }, (_, i) => Math.sin(i)))
            .reshape([2, 8])
            .to(model.weight.device),
        )
        .square()
        .sum()
        .backward()
      optimizer.step()
    }
    step()
    model.to(target as 'cpu' | 'cuda')
    step()
    optimizer.loadStateDict(optimizer.stateDict())
    step()
    return model
  })
  close(there.weight, here.weight, 1e-5, 'weight')
})

check('fit with a device', async () => {
  manualSeed(4)
  const { train: samples, test } = data.digits()
  const model = cnn()
  const history = await fit(model, {
    train: samples,
    validation: test,
    epochs: 3,
    batchSize: 64,
    generator: new Generator(1),
    optimizer: new optim.Adam(model.parameters(), { lr: 0.01 }),
    loss: ops.crossEntropy,
    metrics: { accuracy },
    device: 'cuda',
    progress: false,
  })
  require(model.parameters()[0].device === 'cuda', 'the model is there')
  const share = history.epochs[2].validation?.accuracy ?? 0
  require(share > 0.9, `accuracy ${share} > 0.9`)
  const { accuracy: there } = await evaluate(model, test, { metrics: { accuracy } })
  const { accuracy: here } = await evaluate(model.to('cpu'), test, { metrics: { accuracy } })
  require(Math.abs(here - there) < 0.01, `accuracies ${there} and ${here}`)
})

check('trained in bfloat16', async () => {
  if (emulated()) return
  manualSeed(6)
  const { train: samples, test } = data.digits()
  const model = cnn().to('cuda')
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
  const shared = { loss: ops.crossEntropy, metrics: { accuracy }, dtype: 'bfloat16' as const }
  await fit(model, { ...shared, train: samples, epochs: 3, batchSize: 64, generator: new Generator(1), optimizer, progress: false })
  for (const parameter of model.parameters()) require(parameter.dtype === 'float32', 'parameters stay float32')
  const { accuracy: share } = await evaluate(model, test, shared)
  require(share > 0.9, `accuracy ${share} > 0.9`)
  const { accuracy: wide } = await evaluate(model, test, { metrics: { accuracy } })
  require(Math.abs(wide - share) < 0.03, `accuracies ${share} and ${wide}`)
})

check('a dataset on the device is batched there', () => {
  const { train: samples } = data.digits()
  const there = new data.TensorDataset(samples.x.to('cuda'), samples.y.to('cuda'))
  const [a, b] = [samples.batch([5, 3, 5]), there.batch([5, 3, 5])]
  close(b[0], a[0], 0, 'x')
  close(b[1], a[1], 0, 'y')
  close(there.get(7)[0], samples.get(7)[0], 0, 'one sample')
})

check('a training loop that never yields keeps its memory', () => {
  manualSeed(5)
  const model = cnn().to('cuda')
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
  const [x, y] = [rand([128, 1, 32, 32]).to('cuda'), tensor(Int32Array.from({ length: 128 }, (_, i) => i % 10)).to('cuda')]
  let most = 0
  for (let step = 0; step < 40; step++) {
    optimizer.zeroGrad()
    ops.crossEntropy(model.forward(x), y).backward()
    optimizer.step()
    most = Math.max(most, cuda.memory().used)
  }
  require(most < 10 * 2 ** 30, `${most} bytes at most`)
  cuda.emptyCache()
  require(cuda.memory().used < 2 ** 28, 'and frees it')
})
