// A training step of an MLP pruned to 90%: of layers that hold their kept weights alone, and of the masked network itself,
// which takes sparse kernels by itself; beside the masked network in our own dense kernels and in PyTorch. SGD with
// momentum. All start from the same weights; the losses of the first steps are checked against float64.
import { nn, ops, optim, prune, type Tensor, tensor } from '../../lib/index.js'
import { python } from '../support/process.js'
import type { Contender, Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'

const checkedSteps = 8
const sparsity = 0.9

/** The masked network; its last layer stays dense. */
function masked(): nn.Sequential {
  const model = new nn.Sequential(new nn.Linear(784, 1024), new nn.ReLU(), new nn.Linear(1024, 1024), new nn.ReLU(), new nn.Linear(1024, 10))
  for (const layer of [model.at(0), model.at(2)]) prune.l1Unstructured(layer as nn.Linear, 'weight', sparsity)
  return model
}

const compact = (model: nn.Sequential): nn.Sequential =>
  new nn.Sequential(
    ...[...model.children()].map((layer) => (layer instanceof nn.Linear && nn.maskOf(layer, 'weight') !== null ? nn.SparseLinear.from(layer) : layer.clone())),
  )

const stepper = (model: nn.Module, x: Tensor, y: Tensor): (() => number) => {
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
  return () => {
    const loss = ops.crossEntropy(model.forward(x), y)
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
    return loss.item()
  }
}

/** Multiply-adds, as operations, of a step on a sample: three products a layer, but the first one's input wants no gradient. */
function operations(model: nn.Sequential): number {
  const kept = [0, 2, 4].map((i) => {
    const layer = model.at(i) as nn.Linear
    const mask = nn.maskOf(layer, 'weight')
    return mask === null ? layer.latentWeight('weight').size : mask.sum().item()
  })
  return 2 * kept.reduce((sum, count, i) => sum + (i === 0 ? 2 : 3) * count, 0)
}

/** Taking the kept weights out, making kernels for them, and the first step. */
function making(model: nn.Sequential, x: Tensor, y: Tensor): Contender {
  return {
    time(repetitions) {
      const start = performance.now()
      for (let i = 0; i < repetitions; i++) stepper(compact(model), x, y)()
      return performance.now() - start
    },
    output: () => Float32Array.from({ length: checkedSteps }, stepper(compact(model), x, y)),
  }
}

function contender(make: () => nn.Module, x: Tensor, y: Tensor): Contender {
  const step = stepper(make(), x, y)
  return {
    time(repetitions) {
      const start = performance.now()
      for (let i = 0; i < repetitions; i++) step()
      return performance.now() - start
    },
    output: () => Float32Array.from({ length: checkedSteps }, stepper(make(), x, y)),
  }
}

export default function* sparseStep(): Iterable<Match> {
  for (const batch of [64, 256]) {
    const model = masked()
    const x = tensor(noise(batch * 784, 1), [batch, 784])
    const y = tensor(Int32Array.from({ length: batch }, (_, i) => (i * 7) % 10))
    const reference = Float64Array.from({ length: checkedSteps }, stepper(model.clone().to('float64'), tensor(x.data, x.shape, { dtype: 'float64' }), y))
    const name = `MLP 784-1024-1024-10 B=${batch} s=${sparsity.toFixed(2)}`
    const row = {
      case: name,
      ours: () => contender(() => compact(model), x, y),
      verify: (output: Parameters<Match['verify']>[0]) => verifyClose(output, reference, (i) => 1e-4 * Math.abs(reference[i])),
      limit: { fma: batch * operations(model) },
    }
    const automatic = { ...row, case: `${name} automatic`, ours: () => contender(() => model.clone(), x, y) }
    const dense = { rival: 'our own masked step', theirs: () => contender(() => model.clone().maskedKernels('dense'), x, y) }
    yield { ...row, ...dense }
    yield { ...row, ...dense, case: `${name} made and used once`, rival: 'one step of our own masked', ours: () => making(model, x, y) }
    yield { ...automatic, ...dense }
    yield { ...automatic, rival: 'its kept weights alone', theirs: () => contender(() => compact(model), x, y) }
    const layers = [0, 2, 4].map((i) => model.at(i) as nn.Linear)
    yield {
      ...row,
      rival: 'torch, pruned',
      theirs: () =>
        python({
          rival: 'torch',
          source: 'sparse-step/torch_pruned.py',
          modules: ['torch'],
          install: 'apt-get install python3-torch',
          args: [batch, checkedSteps],
          inputs: {
            x: x.data,
            y: y.data,
            parameters: Float32Array.from(layers.flatMap((layer) => [...layer.latentWeight('weight').data, ...(layer.bias as Tensor).data])),
            masks: Float32Array.from(layers.slice(0, 2).flatMap((layer) => [...(nn.maskOf(layer, 'weight') as Tensor).data])),
          },
        }),
    }
  }
}
