// train.json: six training steps of two networks, some pruned on the way, step by step.
import * as nn from '../../lib/nn/index.js'
import { crossEntropy } from '../../lib/ops/index.js'
import * as optim from '../../lib/optim/index.js'
import * as prune from '../../lib/prune/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { deviation, fromGolden, type Golden, listDeviation } from './compare.js'

type DType = 'float32' | 'float64'

type Layer =
  | { type: 'linear'; name: string; in: number; out: number; bias: boolean }
  | {
      type: 'conv2d'
      name: string
      in: number
      out: number
      kernel_size: [number, number]
      stride: [number, number]
      padding: [number, number]
      bias: boolean
    }
  | { type: 'relu' | 'flatten'; name: string }

interface Model {
  layers: Layer[]
  initial: Record<string, Golden>
  batches: { x: Golden; target: Golden }[]
  first_step: { logits: Golden; grads: Record<string, Golden> }
}

interface PruneCall {
  fn: string
  module: string
  name: string
  amount: { int: number } | { float: number }
}

interface Run {
  name: string
  model: string
  optimizer: string
  options: Record<string, number>
  dtype: DType
  steps: number
  prune: null | { before_step: number; calls: PruneCall[] }
  loss: number[]
  final: Record<string, Golden>
  final_logits: Golden
  masks?: Record<string, Golden>
  effective?: Record<string, Golden>
}

function layerOf(layer: Layer): nn.Module {
  switch (layer.type) {
    case 'linear':
      return new nn.Linear(layer.in, layer.out, { bias: layer.bias })
    case 'conv2d':
      return new nn.Conv2d(layer.in, layer.out, layer.kernel_size, { stride: layer.stride, padding: layer.padding, bias: layer.bias })
    case 'relu':
      return new nn.ReLU()
    case 'flatten':
      return new nn.Flatten()
    default:
      throw new Error(`no layer ${JSON.stringify(layer)} here`)
  }
}

function build({ layers, initial }: Model, dtype: DType): nn.Sequential {
  const model = new nn.Sequential(Object.fromEntries(layers.map((layer) => [layer.name, layerOf(layer)]))).to(dtype)
  model.loadStateDict(Object.fromEntries(Object.entries(initial).map(([name, golden]) => [name, fromGolden(golden, dtype)])))
  return model
}

/** Optimisers by name, built from options in PyTorch's names. */
const optimizers: Record<string, (parameters: Tensor[], options: Record<string, number>) => { step(): void; zeroGrad(): void }> = {
  SGD: (parameters, options) => new optim.SGD(parameters, options as { lr: number }),
  Adam: (parameters, options) => new optim.Adam(parameters, options),
}

const pruners: Record<string, (module: nn.Module, name: string, amount: number) => void> = {
  l1_unstructured: (module, name, amount) => prune.l1Unstructured(module, name, amount),
}

const tolerances = { float32: [1e-4, 1e-6], float64: [1e-8, 1e-12] } as const

function firstStepFault(model: Model, dtype: DType): string | undefined {
  const [relative, absolute] = tolerances[dtype]
  const network = build(model, dtype)
  const [{ x, target }] = model.batches
  const logits = network.forward(fromGolden(x, dtype))
  crossEntropy(logits, fromGolden(target, dtype)).backward()
  const parameters = new Map(network.namedParameters())
  return (
    deviation('logits', logits, model.first_step.logits, relative, absolute) ??
    firstOf(Object.entries(model.first_step.grads), ([name, golden]) =>
      deviation(`gradient of ${name}`, parameters.get(name)?.grad, golden, relative, absolute),
    )
  )
}

function runFault(run: Run, model: Model): string | undefined {
  const { dtype } = run
  const [relative, absolute] = tolerances[dtype]
  const network = build(model, dtype)
  const optimizer = optimizers[run.optimizer]?.(network.parameters(), run.options)
  if (optimizer === undefined) return `no optimizer ${run.optimizer} here`
  const batches = model.batches.map(({ x, target }) => ({ x: fromGolden(x, dtype), target: fromGolden(target, dtype) }))
  const losses: number[] = []
  for (let step = 0; step < run.steps; step++) {
    if (run.prune?.before_step === step)
      for (const { fn, module, name, amount } of run.prune.calls) {
        const call = pruners[fn]
        if (call === undefined) return `no pruning function ${fn} here`
        call(network.getModule(module), name, 'int' in amount ? amount.int : amount.float)
      }
    const { x, target } = batches[step % batches.length]
    const loss = crossEntropy(network.forward(x), target)
    losses.push(loss.item())
    optimizer.zeroGrad()
    loss.backward()
    optimizer.step()
  }

  const parameters = new Map<string, Tensor>(network.namedParameters())
  if ([...parameters.keys()].sort().join() !== Object.keys(run.final).sort().join())
    return `parameters are ${[...parameters.keys()]}, expected ${Object.keys(run.final)}`
  const ofWeight = (path: string): [nn.Module, string] => {
    const dot = path.lastIndexOf('.')
    return [network.getModule(path.slice(0, dot)), path.slice(dot + 1)]
  }
  return (
    listDeviation('loss', losses, run.loss, relative, absolute) ??
    firstOf(Object.entries(run.final), ([name, golden]) => deviation(name, parameters.get(name), golden, relative, absolute)) ??
    firstOf(Object.entries(run.masks ?? {}), ([path, golden]) => deviation(`mask of ${path}`, nn.maskOf(...ofWeight(path)), golden, 0, 0)) ??
    firstOf(Object.entries(run.effective ?? {}), ([path, golden]) => {
      const [module, name] = ofWeight(path)
      return deviation(`effective ${path}`, module.effective(name), golden, relative, absolute)
    }) ??
    deviation('final logits', network.forward(batches[0].x), run.final_logits, relative, absolute)
  )
}

function firstOf<T>(items: readonly T[], check: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const fault = check(item)
    if (fault !== undefined) return fault
  }
  return undefined
}

export default function* ({ models, runs }: { models: Record<string, Model>; runs: Run[] }): Iterable<{ name: string; fault?: string }> {
  const verdict = (name: string, check: () => string | undefined) => {
    try {
      return { name, fault: check() }
    } catch (error) {
      return { name, fault: String(error) }
    }
  }
  for (const [name, model] of Object.entries(models))
    for (const dtype of ['float32', 'float64'] as const) yield verdict(`${name}/first_step/${dtype}`, () => firstStepFault(model, dtype))
  for (const run of runs) yield verdict(run.name, () => (models[run.model] ? runFault(run, models[run.model]) : `no model ${run.model}`))
}
