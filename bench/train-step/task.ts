// A training step: forward, cross entropy, backward, an optimiser's update (SGD with momentum; Adam for the
// TinyCNN too, as the field trains it). Both sides start from the same weights and see the same batches; the losses of their first steps are checked against ours in float64.
import { data, type nn, ops, optim, type Tensor, tensor } from '../../lib/index.js'
import { python } from '../support/process.js'
import type { Contender, Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'
import { inputShapes, networks } from './networks.js'

const checkedSteps = 8

interface Batch {
  x: Tensor
  y: Tensor
}

function step(model: nn.Module, optimiser: Optimiser, { x, y }: Batch): number {
  const loss = ops.crossEntropy(model.forward(x), y)
  optimiser.zeroGrad()
  loss.backward()
  optimiser.step()
  return loss.item()
}

const optimisers = {
  SGD: (model: nn.Module) => new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 }),
  Adam: (model: nn.Module) => new optim.Adam(model.parameters(), { lr: 0.001 }),
}
type Rule = keyof typeof optimisers
type Optimiser = ReturnType<(typeof optimisers)[Rule]>

function losses(initial: nn.Module, rule: Rule, batches: readonly Batch[], dtype: 'float32' | 'float64'): number[] {
  const model = initial.clone().to(dtype)
  const optimiser = optimisers[rule](model)
  const converted = batches.map(({ x, y }) => ({ x: tensor(x.data, x.shape, { dtype }), y }))
  return Array.from({ length: checkedSteps }, (_, i) => step(model, optimiser, converted[i % batches.length]))
}

function ours(initial: nn.Module, rule: Rule, batches: readonly Batch[]): Contender {
  const model = initial.clone()
  const optimiser = optimisers[rule](model)
  return {
    time(repetitions) {
      const start = performance.now()
      for (let i = 0; i < repetitions; i++) for (const batch of batches) step(model, optimiser, batch)
      return performance.now() - start
    },
    output: () => Float32Array.from(losses(initial, rule, batches, 'float32')),
  }
}

function* batchesOf(x: Tensor, y: Tensor, size: number): Iterable<Batch> {
  for (let start = 0; start < x.shape[0]; start += size)
    yield { x: ops.slice(x, { dim: 0, start, end: start + size }), y: ops.slice(y, { dim: 0, start, end: start + size }) }
}

const flat = (tensors: readonly Tensor[]): Float32Array => Float32Array.from(tensors.flatMap((one) => Array.from(one.data)))

function match(label: string, network: keyof typeof networks, batch: number, x: Tensor, y: Tensor, rule: Rule = 'SGD'): Match {
  const model = networks[network]()
  const batches = [...batchesOf(x, y, batch)]
  const reference = Float64Array.from(losses(model, rule, batches, 'float64'))
  return {
    case: label,
    rival: 'torch',
    ours: () => ours(model, rule, batches),
    theirs: () =>
      python({
        rival: 'torch',
        source: 'train-step/torch_step.py',
        modules: ['torch'],
        install: 'apt-get install python3-torch',
        args: [Object.keys(networks).indexOf(network), Number(rule === 'Adam'), batch, checkedSteps, ...inputShapes[network]],
        inputs: { x: flat([x]), y: y.data, parameters: flat(model.parameters()) },
      }),
    verify: (output) => verifyClose(output, reference, (i) => 1e-4 * Math.abs(reference[i])),
  }
}

const labels = (n: number): Tensor => tensor(Int32Array.from({ length: n }, (_, i) => (i * 7) % 10))

export default function* trainStep(): Iterable<Match> {
  const { train } = data.digits()
  const [x, y] = train.tensors
  for (const rule of ['SGD', 'Adam'] as const) yield match(`TinyCNN digits epoch B=64 ${rule}`, 'TinyCNN', 64, x.mul(1 / 16), y, rule)
  for (const batch of [64, 256]) yield match(`MLP 784-1024-1024-10 B=${batch} SGD`, 'MLP', batch, tensor(noise(batch * 784, 1), [batch, 784]), labels(batch))
  yield match('LeNet 28x28 B=64 SGD', 'LeNet', 64, tensor(noise(64 * 784, 2), [64, 1, 28, 28]), labels(64))
}
