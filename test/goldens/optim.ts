// optim.json: eight steps of each optimiser, and the rates each schedule sets.
import * as optim from '../../lib/optim/index.js'
import { type Tensor, tensor } from '../../lib/tensor/index.js'
import { fromGolden, type Golden, listDeviation } from './compare.js'

interface OptimizerCase {
  name: string
  optimizer: string
  problem: string
  options: Record<string, unknown>
  params: number[][][]
}
interface ScheduleCase {
  name: string
  scheduler: string
  optimizer: string
  base_lr: number
  options: Record<string, unknown>
  lr: number[]
  momentum?: number[]
  metrics?: number[]
}
interface File {
  problems: Record<string, { init: Golden[]; grads: number[][][] }>
  optimizers: OptimizerCase[]
  schedulers: ScheduleCase[]
}

type AnyOptimizer = optim.SGD | optim.Adam | optim.AdamW | optim.RMSprop
const optimizers: Record<string, new (params: Tensor[], options: never) => AnyOptimizer> = {
  SGD: optim.SGD,
  Adam: optim.Adam,
  AdamW: optim.AdamW,
  RMSprop: optim.RMSprop,
}

interface AnySchedule {
  step(metric: number): void
  getLastLr(): number[]
}
const schedules: Record<string, new (optimizer: AnyOptimizer, options: never) => AnySchedule> = {
  StepLR: optim.StepLR,
  MultiStepLR: optim.MultiStepLR,
  ExponentialLR: optim.ExponentialLR,
  CosineAnnealingLR: optim.CosineAnnealingLR,
  LinearLR: optim.LinearLR,
  OneCycleLR: optim.OneCycleLR,
  ReduceLROnPlateau: optim.ReduceLROnPlateau,
}

/** weight_decay → weightDecay, T_max → tMax. */
const camelOptions = (options: Record<string, unknown>): never =>
  Object.fromEntries(
    Object.entries(options).map(([name, value]) => [
      name.replace(/^./, (first) => first.toLowerCase()).replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      value,
    ]),
  ) as never

function optimizerFault({ optimizer, options, params }: OptimizerCase, { init, grads }: File['problems'][string], dtype: 'float32' | 'float64') {
  const Optimizer = optimizers[optimizer]
  if (Optimizer === undefined) return `no optimiser ${optimizer} here`
  const parameters = init.map((golden) => fromGolden(golden, dtype, true))
  const made = new Optimizer(parameters, camelOptions(options))
  const [relative, absolute] = dtype === 'float64' ? [1e-8, 1e-10] : [1e-5, 1e-7]
  for (const [step, gradients] of grads.entries()) {
    made.zeroGrad()
    gradients.forEach((gradient, i) => {
      parameters[i].grad = tensor(new Float64Array(gradient), parameters[i].shape, { dtype })
    })
    made.step()
    for (const [i, expected] of params[step].entries()) {
      const fault = listDeviation(`step ${step}: parameter ${i}`, parameters[i].data, expected, relative, absolute)
      if (fault) return fault
    }
  }
  return undefined
}

function scheduleFault({ scheduler, optimizer, base_lr, options, lr, momentum, metrics }: ScheduleCase): string | undefined {
  const Schedule = schedules[scheduler]
  const Optimizer = optimizers[optimizer]
  if (Schedule === undefined) return `no schedule ${scheduler} here`
  if (Optimizer === undefined) return `no optimiser ${optimizer} here`
  const made = new Optimizer([tensor([0], { requiresGrad: true })], { lr: base_lr } as never)
  const schedule = new Schedule(made, camelOptions(options))
  const group = made.paramGroups[0] as { lr: number; momentum?: number; betas?: readonly number[] }
  for (let step = 0; step < lr.length; step++) {
    if (step > 0) schedule.step(metrics?.[step - 1] as number)
    for (const rate of [group.lr, schedule.getLastLr()[0]]) {
      const fault = listDeviation(`rate after step ${step}`, [rate], [lr[step]], 1e-9, 1e-12)
      if (fault) return fault
    }
    if (momentum === undefined) continue
    const fault = listDeviation(`momentum after step ${step}`, [group.betas?.[0] ?? (group.momentum as number)], [momentum[step]], 1e-9, 1e-12)
    if (fault) return fault
  }
  return undefined
}

function verdict(name: string, run: () => string | undefined): { name: string; fault?: string } {
  try {
    return { name, fault: run() }
  } catch (error) {
    return { name, fault: String(error) }
  }
}

export default function* ({ problems, optimizers, schedulers }: File): Generator<{ name: string; fault?: string }> {
  for (const golden of optimizers)
    for (const dtype of ['float32', 'float64'] as const) yield verdict(`${golden.name} ${dtype}`, () => optimizerFault(golden, problems[golden.problem], dtype))
  for (const golden of schedulers) yield verdict(golden.name, () => scheduleFault(golden))
}
