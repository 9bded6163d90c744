// A training step of quantised networks (forward, cross entropy, backward, Adam), beside the same step without
// quantisers, and beside PyTorch with the same fake quantisation in its operations. Weights of 4 bits, activations
// of 4: once their thresholds are learned, and while they follow the batches; the input's range is given, or learned
// as well, for which the first layer has to form a gradient of its input that the float step does without. `ratio`
// against the float step is the inverse of the overhead: at ×0.77 and more quantising costs at most 1.3 times the step.
import { data, nn, ops, optim, qnn, type Tensor, tensor } from '../../lib/index.js'
import { python } from '../support/process.js'
import type { Contender, Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'

const checkedSteps = 4
const bits = 4

/** What stands between layers, and how a layer keeps its weights: quantised, or as it is. */
interface Parts {
  input: () => nn.Module
  relu: () => nn.Module
  conv: (...sizes: [number, number, number, { stride?: number }?]) => nn.Module
  linear: (inputs: number, outputs: number) => nn.Module
}

const floatParts: Parts = {
  input: () => new nn.Identity(),
  relu: () => new nn.ReLU(),
  conv: (...sizes) => new nn.Conv2d(...sizes),
  linear: (inputs, outputs) => new nn.Linear(inputs, outputs),
}

const quantisedParts = ({ collectSteps, inputLearned }: (typeof phases)[Phase]): Parts => ({
  input: () => new qnn.QuantIdentity(inputLearned ? { bits, collectSteps } : { bits, threshold: 1, learned: false }),
  relu: () => new qnn.QuantReLU({ bits, collectSteps }),
  conv: (inputs, outputs, kernel, options) => new qnn.QuantConv2d(inputs, outputs, kernel, { ...options, weightBits: bits }),
  linear: (inputs, outputs) => new qnn.QuantLinear(inputs, outputs, { weightBits: bits }),
})

/** The networks of the task; torch_quant.py builds the same ones. */
const networks = {
  TinyCNN: ({ input, relu, conv, linear }: Parts) =>
    new nn.Sequential(input(), conv(1, 8, 3), relu(), conv(8, 16, 3, { stride: 2 }), relu(), conv(16, 32, 2), relu(), new nn.Flatten(), linear(32, 10)),
  MLP: ({ input, relu, linear }: Parts) => new nn.Sequential(input(), linear(784, 1024), relu(), linear(1024, 1024), relu(), linear(1024, 10)),
}
type Network = keyof typeof networks

/** Steps in which thresholds follow the batches: all of them, or none that is timed. And whether the input has one. */
const phases = {
  learned: { collectSteps: 1, inputLearned: false },
  'input learned': { collectSteps: 1, inputLearned: true },
  statistics: { collectSteps: Number.MAX_SAFE_INTEGER, inputLearned: true },
} as const
type Phase = keyof typeof phases

interface Batch {
  x: Tensor
  y: Tensor
}

const optimiserOf = (model: nn.Module): optim.Adam => new optim.Adam(model.parameters(), { lr: 0.001 })

function step(model: nn.Module, optimiser: optim.Adam, { x, y }: Batch): number {
  const loss = ops.crossEntropy(model.forward(x), y)
  optimiser.zeroGrad()
  loss.backward()
  optimiser.step()
  return loss.item()
}

function losses(initial: nn.Module, batches: readonly Batch[], dtype: 'float32' | 'float64'): Float64Array {
  const model = initial.clone().to(dtype)
  const optimiser = optimiserOf(model)
  const converted = batches.map(({ x, y }) => ({ x: tensor(x.data, x.shape, { dtype }), y }))
  return Float64Array.from({ length: checkedSteps }, (_, i) => step(model, optimiser, converted[i % batches.length]))
}

function contender(initial: nn.Module, batches: readonly Batch[], output: () => Float64Array): Contender {
  const model = initial.clone()
  const optimiser = optimiserOf(model)
  return {
    time(repetitions) {
      const start = performance.now()
      for (let i = 0; i < repetitions; i++) for (const batch of batches) step(model, optimiser, batch)
      return performance.now() - start
    },
    output,
  }
}

// Where float32 and float64 lie on two sides of a half, codes differ by one: rare, and each weighs little.
const tolerance = 2e-2

function* matches(label: string, network: Network, phase: Phase, batches: readonly Batch[]): Iterable<Match> {
  const model = networks[network](quantisedParts(phases[phase]))
  // The first step finds thresholds, and in `learned` the second hands them to the parameters.
  for (let i = 0; i < 2; i++) model.forward(batches[0].x)
  const float = networks[network](floatParts)
  const reference = losses(model, batches, 'float64')
  const floatReference = losses(float, batches, 'float64')
  const row = {
    case: `${label} ${phase}`,
    ours: () => contender(model, batches, () => losses(model, batches, 'float32')),
    verify: (output: Parameters<Match['verify']>[0]) => verifyClose(output, reference, (i) => tolerance * reference[i]),
  }
  yield {
    ...row,
    rival: 'the float step',
    // Another function: each side is measured by its own reference, and what is compared is the quotient.
    ours: () => contender(model, batches, () => losses(model, batches, 'float32').map((loss, i) => loss / reference[i])),
    theirs: () => contender(float, batches, () => losses(float, batches, 'float32').map((loss, i) => loss / floatReference[i])),
    verify: (output) => verifyClose(output, new Float64Array(checkedSteps).fill(1), () => tolerance),
  }
  const [{ x }] = batches
  yield {
    ...row,
    rival: 'torch, its operations',
    theirs: () =>
      python({
        rival: 'torch',
        source: 'quant-step/torch_quant.py',
        modules: ['torch'],
        install: 'apt-get install python3-torch',
        args: [
          Object.keys(networks).indexOf(network),
          Number(phase !== 'statistics'),
          Number(phases[phase].inputLearned),
          bits,
          x.shape[0],
          checkedSteps,
          ...x.shape.slice(1),
        ],
        inputs: {
          x: flat(batches.map((batch) => batch.x)),
          y: Int32Array.from(batches.flatMap((batch) => Array.from(batch.y.data))),
          parameters: flat(model.parameters()),
          // The running threshold of each quantiser, in the order of the layers.
          thresholds: flat(Array.from(model.namedBuffers()).flatMap(([name, buffer]) => (name.endsWith('.running') ? [buffer] : []))),
        },
      }),
  }
}

const flat = (tensors: readonly Tensor[]): Float32Array => Float32Array.from(tensors.flatMap((one) => Array.from(one.data)))

function* batchesOf(x: Tensor, y: Tensor, size: number): Iterable<Batch> {
  for (let start = 0; start < x.shape[0]; start += size)
    yield { x: ops.slice(x, { dim: 0, start, end: start + size }), y: ops.slice(y, { dim: 0, start, end: start + size }) }
}

export default function* quantStep(): Iterable<Match> {
  const { train } = data.digits()
  const [x, y] = train.tensors
  const digits = [...batchesOf(x.mul(1 / 16), y, 64)]
  const rows = { x: tensor(noise(64 * 784, 1), [64, 784]), y: tensor(Int32Array.from({ length: 64 }, (_, i) => (i * 7) % 10)) }
  for (const phase of Object.keys(phases) as Phase[]) {
    yield* matches('TinyCNN digits epoch B=64', 'TinyCNN', phase, digits)
    yield* matches('MLP 784-1024-1024-10 B=64', 'MLP', phase, [rows])
  }
}
