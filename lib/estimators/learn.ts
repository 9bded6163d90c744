import { randomSplit, type Subset, stratifiedSplit, TensorDataset } from '../data/index.js'
import type { Module } from '../nn/index.js'
import { Generator, type Tensor } from '../tensor/index.js'
import { type Callback, earlyStopping, evaluating, type FitOptions, fit, type History, type Loss } from '../train/index.js'
import type { Keeping } from './accumulators.js'
import type { TrainingParameters } from './parameters.js'
import type { Task } from './tasks.js'

/** How a training is watched and ended. */
export interface LearningOptions extends Pick<FitOptions, 'progress' | 'callbacks'> {
  /** Ends the training between two steps: the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Samples to learn from, and those held out or null. */
interface Parts {
  train: TensorDataset | Subset
  validation: Subset | null
}

/** Holds one of `folds` parts out. */
function split(samples: TensorDataset, { stratified }: Task<never, unknown>, folds: number | null, generator: Generator): Parts {
  if (folds === null || samples.length < folds) return { train: samples, validation: null }
  const shares = [1 - 1 / folds, 1 / folds]
  const [train, validation] = stratified ? stratifiedSplit(samples, samples.y, shares, { generator }) : randomSplit(samples, shares, { generator })
  return { train, validation: validation.length > 0 ? validation : null }
}

/**
 * Trains a network on samples x [n, features] of a task.
 *
 * @param start begins to keep the network's accumulators once it has run
 * @throws the signal's reason where it was aborted
 */
export async function learn(
  network: Module,
  x: Tensor,
  task: Task<never, unknown>,
  { maxEpochs, batchSize, lr, optimizer: Optimizer, criterion, trainSplit, earlyStopping: stopping, seed }: TrainingParameters,
  start: () => Keeping,
  { progress = false, callbacks = [], signal }: LearningOptions,
): Promise<History> {
  signal?.throwIfAborted()
  const generator = new Generator(seed)
  const { train, validation } = split(new TensorDataset(x, task.targets), task, trainSplit, generator)
  // Layers know what feeds them once they have run.
  evaluating(network, () => network.forward(train.batch([0])[0]))
  const { afterStep, penalty } = start()
  const keeping: Callback[] = afterStep === undefined ? [] : [{ onStepEnd: () => afterStep() }]
  const history = await fit(network, {
    train,
    validation: validation ?? undefined,
    epochs: maxEpochs,
    batchSize,
    generator,
    optimizer: new Optimizer(network.parameters(), { lr }),
    loss: penalised(criterion ?? task.loss, penalty),
    progress,
    signal,
    callbacks: [...keeping, ...(stopping === null ? [] : [earlyStopping(stopping)]), ...callbacks],
  })
  signal?.throwIfAborted()
  return history
}

/** A loss and what the network's accumulators cost; outside of training the loss alone. */
export function penalised(loss: Loss, penalty: Keeping['penalty']): Loss {
  if (penalty === undefined) return loss
  return (output, target) => {
    const value = typeof loss === 'function' ? loss(output, target) : loss.forward(output, target)
    return output.requiresGrad || output.origin !== null ? value.add(penalty()) : value
  }
}

/** Steps that `learn` takes at most. */
export const stepsOf = (samples: number, { maxEpochs, batchSize, trainSplit }: TrainingParameters): number =>
  maxEpochs * Math.ceil((samples * (trainSplit === null ? 1 : 1 - 1 / trainSplit)) / batchSize)
