import * as nn from '../../lib/nn/index.js'
import { l1Unstructured } from '../../lib/prune/index.js'
import * as qnn from '../../lib/quant/qnn.js'
import { manualSeed, rand } from '../../lib/tensor/index.js'
import { Network } from '../support/network.js'
import type { Match } from '../support/task.js'

const sparsity = 0.9

const lenet = (): nn.Module =>
  new nn.Sequential(
    ...[new nn.Conv2d(1, 6, 5, { padding: 2 }), new nn.ReLU(), new nn.MaxPool2d(2), new nn.Conv2d(6, 16, 5), new nn.ReLU(), new nn.MaxPool2d(2)],
    ...[new nn.Flatten(), new nn.Linear(400, 120), new nn.ReLU(), new nn.Linear(120, 84), new nn.ReLU(), new nn.Linear(84, 10)],
  )
const mlp = (): nn.Module => new nn.Sequential(new nn.Linear(784, 1024), new nn.ReLU(), new nn.Linear(1024, 1024), new nn.ReLU(), new nn.Linear(1024, 10))

/** LeNet with weights and activations of 4 bits. */
function lenet4(): nn.Module {
  const weights = { weightBits: 4 }
  const relu = (): nn.Module => new qnn.QuantReLU({ bits: 4 })
  return new nn.Sequential(
    new qnn.QuantIdentity({ bits: 4 }),
    ...[new qnn.QuantConv2d(1, 6, 5, { ...weights, padding: 2 }), relu(), new nn.MaxPool2d(2)],
    ...[new qnn.QuantConv2d(6, 16, 5, weights), relu(), new nn.MaxPool2d(2), new nn.Flatten()],
    ...[new qnn.QuantLinear(400, 120, weights), relu(), new qnn.QuantLinear(120, 84, weights), relu(), new qnn.QuantLinear(84, 10, weights)],
  )
}

/** The perceptron with weights and activations of 8 bits. */
function mlp8(): nn.Module {
  const linear = (columns: number, rows: number): nn.Module => new qnn.QuantLinear(columns, rows, { weightBits: 8 })
  const relu = (): nn.Module => new qnn.QuantReLU({ bits: 8 })
  return new nn.Sequential(new qnn.QuantIdentity({ bits: 8 }), linear(784, 1024), relu(), linear(1024, 1024), relu(), linear(1024, 10))
}

function pruned(make: () => nn.Module, amount: number): nn.Module {
  manualSeed(1)
  const model = make()
  if (amount > 0) for (const module of model.modules()) if (module instanceof nn.Conv2d || module instanceof nn.Linear) l1Unstructured(module, 'weight', amount)
  return model
}

/** Its quantisers know their ranges from some batches. */
function ranged(model: nn.Module, input: readonly number[]): nn.Module {
  model.train()
  for (let i = 0; i < 4; i++)
    model.forward(
      rand([16, ...input])
        .mul(2)
        .sub(1),
    )
  return model
}

const rival = 'onnxruntime-node, dense'

/** Pruned networks, one call of a compiled program, against the same networks dense; and quantised ones. */
export default function* infer(): Iterable<Match> {
  const networks: readonly (readonly [name: string, input: readonly number[], make: () => nn.Module, bits: number, quantised: () => nn.Module])[] = [
    ['lenet', [1, 28, 28], lenet, 4, lenet4],
    ['mlp 784-1024-1024-10', [784], mlp, 8, mlp8],
  ]
  for (const [name, input, make] of networks)
    for (const batch of [1, 64]) {
      const network = new Network(`${name} B=${batch} s=${sparsity.toFixed(2)}`, pruned(make, sparsity), input, batch)
      const theirs = (): ReturnType<Match['theirs']> => network.onnxruntime()
      yield network.match(rival, network, theirs)
      yield network.match(`one run of ${rival}`, network, theirs, () => network.loading(), ' loaded and run once')
    }

  for (const [name, input, make, bits, made] of networks)
    for (const amount of [0, sparsity])
      for (const batch of [1, 64]) {
        const called = `${name} ${bits}-bit B=${batch} s=${amount.toFixed(2)}`
        const quantised = new Network(called, ranged(pruned(made, amount), input), input, batch, { quantised: true })
        const single = new Network(name, pruned(make, amount), input, batch)
        const theirs = (): ReturnType<Match['theirs']> => single.compiled()
        yield quantised.match('our own float32', single, theirs)
        yield quantised.match(rival, single, () => single.onnxruntime())
        yield quantised.match('one run of our own float32', single, theirs, () => quantised.loading(), ' loaded and run once')
      }
}
