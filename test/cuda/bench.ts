// What a call, a training step (dense and masked), a compiled network and a pruning cost through JavaScript.
import { compile, cuda, devices, nn, noGrad, ops, optim, prune, rand, type Tensor, tensor } from '../../lib/index.js'

export interface Row {
  task: string
  case: string
  threads: number
  isa: string
  oursMs: number
}

/** The median time of `body` and of what it queued, in ms. */
function timed(body: () => void, repeats = 15, warmup = 4): number {
  for (let i = 0; i < warmup; i++) body()
  cuda.synchronize()
  const times = Array.from({ length: repeats }, () => {
    const began = performance.now()
    body()
    cuda.synchronize()
    return performance.now() - began
  })
  return times.sort((a, b) => a - b)[repeats >> 1]
}

export function benches(): Row[] {
  const isa = `sm_${(devices()[1].capability ?? '').replace('.', '')}`
  const rows: Row[] = []
  const row = (task: string, name: string, oursMs: number) => rows.push({ task, case: name, threads: 1, isa, oursMs })

  const small = rand([64]).to('cuda')
  const out = 1000
  row('call from JavaScript', 'relu of 64 elements, each of 1000 queued', timed(() => void Array.from({ length: out }, () => ops.relu(small).dispose())) / out)
  const matrix = rand([256, 256]).to('cuda')
  row('call from JavaScript', 'matmul 256x256, each of 100 queued', timed(() => void Array.from({ length: 100 }, () => matrix.matmul(matrix).dispose())) / 100)

  const model = new nn.Sequential(
    new nn.Conv2d(3, 64, 3, { padding: 1 }),
    new nn.BatchNorm2d(64),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Conv2d(64, 128, 3, { padding: 1 }),
    new nn.BatchNorm2d(128),
    new nn.ReLU(),
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(128, 10),
  ).to('cuda')
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  const [x, y] = [rand([128, 3, 32, 32]).to('cuda'), tensor(Int32Array.from({ length: 128 }, (_, i) => i % 10)).to('cuda')]
  for (const precision of ['float32', 'tf32', 'bfloat16'] as const) {
    cuda.setPrecision(precision)
    const step = () => {
      optimizer.zeroGrad()
      ops.crossEntropy(model.forward(x), y).backward()
      optimizer.step()
    }
    row('training step from JavaScript', `two 3x3 convolutions, 128x3x32x32, ${precision}`, timed(step))
  }
  cuda.setPrecision('float32')

  // The same network in evaluation: an operation a call, and compiled.
  model.eval()
  using program = compile(model, { input: [3, 32, 32], device: 'cuda' })
  for (const batch of [1, 128]) {
    const images = rand([batch, 3, 32, 32]).to('cuda')
    const name = `two 3x3 convolutions, ${batch}x3x32x32, float32`
    row(
      'evaluation from JavaScript',
      name,
      timed(() => noGrad(() => model.forward(images)).dispose()),
    )
    row(
      'compiled, from JavaScript',
      name,
      timed(() => program.run(images).dispose()),
    )
  }
  rows.push(...maskedSteps(8192, 4096).map((one) => ({ ...one, threads: 1, isa })))
  rows.push(...prunings(4096).map((one) => ({ ...one, threads: 1, isa })))
  return rows
}

/** Training steps of a wide layer and of a network of hidden layers, 95% of each pruned: as they choose, and dense. */
export function maskedSteps(width: number, hidden: number, batch = 128): Pick<Row, 'task' | 'case' | 'oursMs'>[] {
  const x = rand([batch, width]).to('cuda')
  const images = rand([batch, 784]).to('cuda')
  const labels = tensor(Int32Array.from({ length: batch }, (_, i) => i % 10)).to('cuda')
  const networks: Record<string, () => { model: nn.Module; masked: nn.Linear[]; loss: () => Tensor }> = {
    [`linear ${width}x${width}`]: () => {
      const model = new nn.Linear(width, width).to('cuda')
      return { model, masked: [model], loss: () => ops.mean(ops.square(model.forward(x))) }
    },
    [`MLP 784-${hidden}-${hidden}-10`]: () => {
      const masked = [new nn.Linear(784, hidden), new nn.Linear(hidden, hidden)]
      const model = new nn.Sequential(masked[0], new nn.ReLU(), masked[1], new nn.ReLU(), new nn.Linear(hidden, 10)).to('cuda')
      return { model, masked, loss: () => ops.crossEntropy(model.forward(images), labels) }
    },
  }
  return Object.entries(networks).flatMap(([name, make]) => {
    const { model, masked, loss } = make()
    for (const layer of masked) prune.l1Unstructured(layer, 'weight', 0.95)
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01 })
    return (['dense', 'auto'] as const).map((kernels) => {
      model.maskedKernels(kernels)
      const oursMs = timed(() => {
        optimizer.zeroGrad()
        loss().backward()
        optimizer.step()
      })
      const ran = nn.explain(model).layers.slice(0, masked.length)
      return { task: 'masked training step', case: `${name}, ${batch}, ${kernels}: ${ran.map(({ runs }) => runs).join(', ')}`, oursMs }
    })
  })
}

/** Four square layers pruned, masks and report included. */
export function prunings(width: number): Pick<Row, 'task' | 'case' | 'oursMs'>[] {
  const layers = Array.from({ length: 4 }, () => new nn.Linear(width, width, { bias: false }))
  const model = new nn.Sequential(...layers).to('cuda')
  const ways: Record<string, prune.PrunerOptions> = {
    '90% of all by L1': { amount: prune.global(0.9) },
    '2:4': { structure: prune.nm(2, 4) },
    '90% of each neuron': { structure: prune.perNeuron, amount: 0.9 },
  }
  return Object.entries(ways).map(([name, options]) => {
    const oursMs = timed(
      () => {
        new prune.Pruner(model, options).step()
        for (const layer of layers) nn.removeMask(layer, 'weight', { keep: 'latent' })
      },
      5,
      1,
    )
    return { task: 'pruning from JavaScript', case: `${name}, 4 layers of ${width}x${width}`, oursMs }
  })
}
