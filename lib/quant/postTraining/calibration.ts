import { noGrad } from '../../autograd/index.js'
import { DataLoader, type Dataset, type Sample } from '../../data/index.js'
import { describe, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { hostValues, isFloat, Tensor } from '../../tensor/index.js'

/**
 * Samples to look at: one batch, a dataset, or batches (of [x, …] or x alone; x, [n, …], goes into the model).
 * A few hundred samples are enough; they are held in memory.
 */
export type Calibration = Tensor | Dataset | Iterable<Tensor | Sample>

const samplesAtOnce = 256

/**
 * Calibration data as batches on a model's device.
 * @throws EspalierError INVALID_ARGUMENT where there is no sample, or a value is not finite
 */
export function batchesOf(operation: string, calibration: Calibration, model: Module): Tensor[] {
  const batches: Tensor[] = []
  for (const batch of iterable(operation, calibration)) {
    const x: unknown = Array.isArray(batch) ? batch[0] : batch
    ensure(
      x instanceof Tensor && isFloat(x.dtype),
      'INVALID_ARGUMENT',
      () => `${operation}: a calibration batch is ${describe(x)}, expected a tensor of floats`,
    )
    finite(`${operation}: the calibration data`, x)
    if (x.size > 0) batches.push(x)
  }
  ensure(batches.length > 0, 'INVALID_ARGUMENT', () => `${operation}: the calibration data is empty`)
  const [parameter] = model.parameters()
  return parameter === undefined ? batches : batches.map((x) => (x.device === parameter.device ? x : x.to(parameter.device)))
}

function iterable(operation: string, calibration: Calibration): Iterable<Tensor | Sample> {
  if (calibration instanceof Tensor) return [calibration]
  if (typeof calibration === 'object' && calibration !== null) {
    if (Symbol.iterator in calibration) return calibration
    if ('get' in calibration && 'length' in calibration) return new DataLoader(calibration, { batchSize: samplesAtOnce })
  }
  ensure(false, 'INVALID_ARGUMENT', () => `${operation}: the calibration data is ${describe(calibration)}, expected a tensor, a dataset or batches`)
}

/** The values of a tensor, none of them NaN or infinite. */
export function finite(name: string, x: Tensor): ArrayLike<number> {
  const values = hostValues(x.storage)
  const bad = values.findIndex((value: number) => !Number.isFinite(value))
  ensure(bad < 0, 'INVALID_ARGUMENT', () => `${name} has the value ${values[bad]} at element ${bad}, expected finite numbers`)
  return values
}

/** What is called as a module runs. */
export interface Watcher {
  onInput?(module: Module, x: Tensor): void
  onOutput?(module: Module, y: Tensor): void
}

/**
 * Runs a model in evaluation mode on some batches, with modules of it watched. Modes are as before afterwards.
 * @param after called when a batch is through, with what the model gave
 */
export function watching(
  model: Module,
  watched: Iterable<Module>,
  { onInput, onOutput }: Watcher,
  batches: readonly Tensor[],
  after?: (y: Tensor) => void,
): void {
  const modes = Array.from(model.modules(), (module) => [module, module.training] as const)
  const hooks = [...watched].flatMap((module) => [
    ...(onInput === undefined ? [] : [module.registerForwardPreHook((_, [x]) => void onInput(module, x))]),
    ...(onOutput === undefined ? [] : [module.registerForwardHook((_, __, y) => void onOutput(module, y))]),
  ])
  try {
    model.eval()
    noGrad(() => {
      for (const batch of batches) {
        const y = model.forward(batch)
        after?.(y)
      }
    })
  } finally {
    for (const hook of hooks) hook.remove()
    for (const [module, mode] of modes) module.training = mode
  }
}
