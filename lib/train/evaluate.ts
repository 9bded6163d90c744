import { noGrad } from '../autograd/index.js'
import type { Module } from '../nn/index.js'
import { batchesOf, deviceOfModel, type InputDType, inputsAndTarget, type Source } from './batches.js'
import { breather } from './breather.js'
import { type Loss, lossOf, type Metrics, RunningScores, type Scores } from './scores.js'

export interface EvaluateOptions {
  loss?: Loss
  metrics?: Metrics
  /** On a GPU, what float inputs are cast to: a network computes in the type of its input. */
  dtype?: InputDType
  /** Samples at a time, where `source` is a dataset. Default 256. */
  batchSize?: number
  /** Rejects with the signal's reason once it is aborted. */
  signal?: AbortSignal
  /** Milliseconds after which the event loop gets a turn. Default 20. */
  yieldEvery?: number
}

/**
 * Mean loss and metrics of a model in evaluation mode, without gradients, on the device the model is on. The mode is switched only
 * while a batch is computed, and each module's own is restored: a training under way is not disturbed.
 *
 * @example
 * ```ts
 * import { accuracy, data, evaluate, nn } from 'espalier'
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 10))
 * const { accuracy: share } = await evaluate(model, data.digits().test, { metrics: { accuracy } })
 * ```
 */
export async function evaluate(
  model: Module,
  source: Source,
  { loss, metrics = {}, dtype, batchSize = 256, signal, yieldEvery = 20 }: EvaluateOptions = {},
): Promise<Scores> {
  const { batches } = batchesOf('evaluate: the data', source, { batchSize })
  const running = new RunningScores(metrics)
  const breathe = breather(yieldEvery)
  const device = deviceOfModel(model)
  for await (const batch of batches) {
    signal?.throwIfAborted()
    const { inputs, target, samples } = inputsAndTarget('evaluate', batch, device, dtype)
    evaluating(model, () => {
      const output = model.forward(...inputs)
      running.add(samples, loss === undefined ? undefined : lossOf(loss, output, target).item(), output, target)
    })
    await breathe()
  }
  return running.scores
}

/**
 * Runs `body` with the model in evaluation mode and nothing recorded on the tape, then restores every module's mode, also where
 * `body` throws. `body` must not be asynchronous: the mode is restored when it returns.
 *
 * @returns what `body` returns
 * @example
 * ```ts
 * import { evaluating, nn, ones } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Dropout(0.5))
 * const y = evaluating(model, () => model.forward(ones([1, 4]))) // nothing is dropped
 * model.training // true
 * ```
 */
export function evaluating<T>(model: Module, body: () => T): T {
  const modes = Array.from(model.modules(), (module) => [module, module.training] as const)
  model.eval()
  try {
    return noGrad(body)
  } finally {
    for (const [module, training] of modes) module.training = training
  }
}
