import { describe, ensure, wholeNumber } from '../native/index.js'
import { micro, percent, type Shape, table, zeros } from '../tensor/index.js'
import { kernelInPanels } from './layers/linear.js'
import { latestOnGpu, SparseConv2d } from './layers/sparseConv2d.js'
import { SparseLinear } from './layers/sparseLinear.js'
import { MaskTransform } from './mask.js'
import { latestChoice } from './masked.js'
import { type KernelChoice, plans } from './maskPlan.js'
import type { Module } from './module.js'

/** What a layer with a weight runs on, and why. */
export interface ExplainedLayer extends KernelChoice {
  /** Its name in the model; empty for the model itself. */
  readonly layer: string
  readonly type: string
  /** Nanoseconds spent so far on making what its mask's products run on: measured, of kernels of the CPU. */
  readonly making?: number
}

export interface ExplainOptions {
  /** The shape of one sample: the model is run on zeros of this shape first. Default: what its latest forward pass ran on. */
  input?: Shape
  /** Samples of that run. Default 64. */
  batch?: number
}

/** What the layers of a model run on; prints as a table. */
export class KernelExplanation {
  constructor(readonly layers: readonly ExplainedLayer[]) {}

  toString(): string {
    return table(this.layers, {
      layer: ({ layer }) => layer,
      type: ({ type }) => type,
      runs: ({ runs }) => runs,
      kernel: ({ kernel }) => kernel,
      gradient: ({ weightGradient }) => weightGradient,
      density: ({ density }) => percent(density),
      'dense µs': ({ dense }) => micro(dense, 1),
      'sparse µs': ({ sparse }) => micro(sparse, 1),
      'made µs': ({ making }) => micro(making, 0),
      why: ({ reason }) => reason,
    })
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

/**
 * Which kernels the layers of a model run on, and why: those of its latest forward pass, or with `input` of one that
 * is made for it, in evaluation mode but with gradients, as a training step asks for them. Times are what the model of
 * costs expects of a pass and its gradients, of either kind of kernels: they rank, they are not measured; what making the
 * kernels took (`making`) is.
 *
 * @throws EspalierError INVALID_ARGUMENT for a shape that is none
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(784, 512), new nn.ReLU(), new nn.Linear(512, 10))
 * prune.l1Unstructured(model.at(0), 'weight', 0.9)
 * console.log(String(nn.explain(model, { input: [784] })))
 * nn.explain(model).layers[0].runs // 'sparse'
 * nn.explain(model).layers[1].reason // 'it has no mask'
 * ```
 */
export function explain(model: Module, { input, batch = 64 }: ExplainOptions = {}): KernelExplanation {
  if (input !== undefined) run(model, input, wholeNumber('explain: batch', batch, 1))
  const layers: ExplainedLayer[] = []
  for (const [layer, module] of model.namedModules()) {
    const choice = choiceOf(module)
    if (choice === null) continue
    const making = makingTimeOf(module)
    layers.push({ layer, type: module.constructor.name, ...choice, ...(making === undefined ? {} : { making }) })
  }
  return new KernelExplanation(layers)
}

function run(model: Module, input: Shape, batch: number): void {
  ensure(
    Array.isArray(input) && input.every((dimension) => Number.isInteger(dimension) && dimension >= 0),
    'INVALID_ARGUMENT',
    () => `explain: input is ${describe(input)}, expected the shape of one sample`,
  )
  const modes = Array.from(model.modules(), (module) => [module, module.training] as const)
  model.eval()
  try {
    model.forward(zeros([batch, ...input], { device: model.parameters()[0]?.device }))
  } finally {
    for (const [module, mode] of modes) module.training = mode
  }
}

/** What there is to say of a module; null of one without a weight that products are made with. */
function choiceOf(module: Module): KernelChoice | null {
  if (module instanceof SparseLinear || module instanceof SparseConv2d) {
    if (module instanceof SparseConv2d && module.latentWeight('weight').device !== 'cpu') return latestOnGpu(module) ?? notRun
    return { runs: 'sparse', reason: 'it holds its kept weights alone', weightGradient: 'kept', density: module.density }
  }
  const latent = [...module.ownParameters()].find(([name]) => name === module.latentName('weight'))?.[1]
  if (latent === undefined || latent.rank < 2) return null
  const choice = chosenFor(module)
  // (What ran in panels and got its mask since has not run with that.)
  const kernel = choice.runs === 'dense' && choice !== notRun ? kernelInPanels(module) : null
  return kernel === null ? choice : { ...choice, kernel, reason: `${choice.reason}; in panels` }
}

/** What making a module's sparse kernels took so far; undefined where it has none. */
function makingTimeOf(module: Module): number | undefined {
  return module instanceof SparseLinear || module instanceof SparseConv2d ? module.makingTime : plans.get(module)?.makingTime
}

const notRun: KernelChoice = { runs: 'dense', reason: 'it has not run, or is no layer with sparse kernels' }

function chosenFor(module: Module): KernelChoice {
  const transforms = module.weightTransforms('weight')
  if (transforms.some((one) => one instanceof MaskTransform)) return latestChoice(module) ?? notRun
  return { runs: 'dense', reason: transforms.some(({ kind }) => kind === 'mask') ? 'its zeros come of no mask' : 'it has no mask' }
}
