import { type Device, describe, deviceNamed, EspalierError, ensure, wholeNumber } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { OneCycleLR } from '../optim/index.js'
import type { Generator } from '../tensor/index.js'
import { batchesOf, deviceOfModel, type InputDType, inputsAndTarget, type Source } from './batches.js'
import { breather } from './breather.js'
import { type EvaluateOptions, evaluate } from './evaluate.js'
import { displayOf, type Progress } from './progress.js'
import { type Loss, lossOf, type Metrics, RunningScores, type Scores } from './scores.js'

/** What one pass over the training data gave. */
export interface Epoch {
  /** From 0. */
  epoch: number
  /** Steps taken. */
  steps: number
  /** False where the training was stopped within the pass or its validation. */
  complete: boolean
  /** Means over the batches as they were trained on, each before its update. */
  train: Scores
  /** Means over the validation data after the pass; null without. */
  validation: Scores | null
  /** The first group's rate during the last step. */
  lr: number | null
  seconds: number
}

/** The course of a training. */
export interface History {
  epochs: Epoch[]
  /** Steps in all. */
  steps: number
  /** Whether the signal or a callback ended it early. */
  stopped: boolean
  seconds: number
}

/** What callbacks are told, and how they end the training. */
export interface FitContext {
  readonly model: Module
  readonly history: Readonly<History>
  /** From 0. */
  readonly epoch: number
  /** Steps taken in this epoch. */
  readonly step: number
  /** Steps taken in all. */
  readonly totalSteps: number
  /** Samples the last step was taken on; 0 before the first. */
  readonly samples: number
  /** Ends the training after this call. */
  stop(): void
}

/** Called at points of a training; a promise is waited for. */
export interface Callback {
  onEpochStart?(context: FitContext): void | Promise<void>
  /** After each step, with the batch's loss. */
  onStepEnd?(context: FitContext, loss: number): void | Promise<void>
  /** After each complete epoch. */
  onEpochEnd?(context: FitContext, epoch: Readonly<Epoch>): void | Promise<void>
}

export interface FitOptions {
  /** Batches to train on; a dataset is shuffled anew each epoch and cut by `batchSize`. */
  train: Source
  /** Batches to measure on after each epoch. */
  validation?: Source
  /** Passes over the training data. Default 1. */
  epochs?: number
  /** Samples a batch, where the source is a dataset. Default 32. */
  batchSize?: number
  /** Where the orders come from; by default the global generator. */
  generator?: Generator
  optimizer: { step(): void; zeroGrad(): void; readonly paramGroups?: readonly { lr: number }[] }
  loss: Loss
  /** A learning-rate schedule. `ReduceLROnPlateau` is given the validation loss, or without validation the training loss. */
  schedule?: { step(metric: number): void }
  /** When the schedule moves on. Default 'epoch'; for OneCycleLR 'step'. */
  scheduleEvery?: 'epoch' | 'step'
  metrics?: Metrics
  /** Moves the model there first ('cuda', …); batches follow. Default: where the model is. */
  device?: Device
  /**
   * On a GPU, what float inputs are cast to: a network computes in the type of its input, sums, parameters,
   * their gradients and losses staying float32. 'bfloat16' has float32's range; 'float16' gradients may
   * underflow. Default: as they come.
   */
  dtype?: InputDType
  /** A bar on the terminal (the default; nothing where stderr is none), nothing, or a function called after each step. */
  progress?: boolean | ((progress: Progress) => void)
  /** Ends the training between two steps, or the validation between two batches; the history so far is returned. */
  signal?: AbortSignal
  callbacks?: readonly Callback[]
  /** Milliseconds after which the event loop gets a turn between steps. Default 20. */
  yieldEvery?: number
}

const busy = new WeakSet<Module>()

/**
 * Trains a model: forward, loss, backward and an optimiser step for each batch. Between steps the event
 * loop gets its turns, so that a server in the same process stays responsive.
 *
 * A loss that is not finite is an error before the update is made. However the training ends, the
 * modes of all modules are as before, gradients are dropped, and the model can be used and trained on.
 *
 * @returns the course of the training
 * @throws EspalierError STATE where the model is being trained already, or the loss is not finite
 * @example
 * ```ts
 * import { accuracy, data, fit, nn, ops, optim } from 'espalier'
 * const { train, test } = data.digits()
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 10))
 * const history = await fit(model, {
 *   train,
 *   validation: test,
 *   epochs: 2,
 *   optimizer: new optim.Adam(model.parameters(), { lr: 0.01 }),
 *   loss: ops.crossEntropy,
 *   metrics: { accuracy },
 * })
 * history.epochs[1].validation?.accuracy // above 0.8
 * ```
 */
export async function fit(model: Module, options: FitOptions): Promise<History> {
  const { epochs = 1, batchSize = 32, generator, metrics = {}, callbacks = [], signal, yieldEvery = 20, validation, schedule, loss, optimizer, dtype } = options
  wholeNumber('fit: epochs', epochs)
  ensure(typeof optimizer?.step === 'function', 'INVALID_ARGUMENT', () => `fit: optimizer is ${describe(optimizer)}`)
  ensure(typeof loss === 'function' || typeof loss?.forward === 'function', 'INVALID_ARGUMENT', () => `fit: loss is ${describe(loss)}`)
  const { batches, count } = batchesOf('fit: train', options.train, { batchSize, shuffle: true, generator })
  const scheduleEvery = options.scheduleEvery ?? (schedule instanceof OneCycleLR ? 'step' : 'epoch')
  const breathe = breather(yieldEvery)
  ensure(!busy.has(model), 'STATE', () => 'fit: this model is being trained already')

  if (options.device !== undefined) model.to(deviceNamed('fit', options.device))

  const began = performance.now()
  const history: History = { epochs: [], steps: 0, stopped: false, seconds: 0 }
  const modes = Array.from(model.modules(), (module) => [module, module.training] as const)
  const context = {
    model,
    history,
    epoch: 0,
    step: 0,
    get totalSteps() {
      return history.steps
    },
    samples: 0,
    stop() {
      history.stopped = true
    },
  }
  const stopped = (): boolean => {
    if (signal?.aborted) history.stopped = true
    return history.stopped
  }

  busy.add(model)
  const display = await displayOf(options.progress ?? true)
  try {
    for (; context.epoch < epochs && !stopped(); context.epoch++) {
      const epochBegan = performance.now()
      const running = new RunningScores(metrics)
      const lr = (): number | null => optimizer.paramGroups?.[0]?.lr ?? null
      const record: Epoch = { epoch: context.epoch, steps: 0, complete: false, train: {}, validation: null, lr: lr(), seconds: 0 }
      context.step = 0
      model.train()
      for (const callback of callbacks) await callback.onEpochStart?.(context)

      let whole = !stopped()
      if (whole)
        for await (const batch of batches) {
          if (stopped()) {
            whole = false
            break
          }
          record.lr = lr()
          const { value, samples } = trainStep(model, optimizer, loss, batch, running, context, dtype)
          context.samples = samples
          if (record.steps++ === 0) history.epochs.push(record)
          history.steps++
          context.step++
          record.train = running.scores
          record.seconds = (performance.now() - epochBegan) / 1000
          if (scheduleEvery === 'step') schedule?.step(value)
          display.update({ epoch: context.epoch, epochs, step: context.step, steps: count, scores: record.train })
          for (const callback of callbacks) await callback.onStepEnd?.(context, value)
          await breathe()
        }
      if (!whole || stopped()) break
      ensure(
        record.steps > 0,
        'INVALID_ARGUMENT',
        () => `fit: train has no batches in epoch ${record.epoch}; what can be gone through only once lasts one epoch`,
      )

      if (validation !== undefined) {
        record.validation = await measured(model, validation, { loss, metrics, dtype, batchSize: Math.max(batchSize, 256), yieldEvery, signal })
        if (record.validation === null) {
          history.stopped = true
          break
        }
        display.update({ epoch: context.epoch, epochs, step: context.step, steps: count, scores: { ...record.train, ...prefixed(record.validation) } })
      }
      record.complete = true
      record.seconds = (performance.now() - epochBegan) / 1000
      if (scheduleEvery === 'epoch') schedule?.step((record.validation ?? record.train).loss)
      for (const callback of callbacks) await callback.onEpochEnd?.(context, record)
    }
  } finally {
    busy.delete(model)
    display.stop()
    for (const [module, training] of modes) module.training = training
    model.zeroGrad()
    history.seconds = (performance.now() - began) / 1000
  }
  return history
}

/** The scores, or null where the signal cut the measurement short. */
async function measured(model: Module, validation: Source, options: EvaluateOptions): Promise<Scores | null> {
  try {
    return await evaluate(model, validation, options)
  } catch (error) {
    if (options.signal?.aborted && error === options.signal.reason) return null
    throw error
  }
}

const prefixed = (scores: Scores): Scores => Object.fromEntries(Object.entries(scores).map(([name, value]) => [`validation ${name}`, value]))

/** One forward, backward and update; gives the batch's loss and size. */
function trainStep(
  model: Module,
  optimizer: FitOptions['optimizer'],
  loss: Loss,
  batch: Parameters<typeof inputsAndTarget>[1],
  running: RunningScores,
  { epoch, step }: { epoch: number; step: number },
  dtype?: InputDType,
): { value: number; samples: number } {
  const { inputs, target, samples } = inputsAndTarget('fit', batch, deviceOfModel(model), dtype)
  const output = model.forward(...inputs)
  const result = lossOf(loss, output, target)
  // On a GPU the backward pass is queued before anything waits for the loss.
  optimizer.zeroGrad()
  result.backward()
  const value = result.item()
  if (!Number.isFinite(value))
    throw new EspalierError('STATE', `fit: the loss is ${value} in epoch ${epoch}, step ${step}; the model is as it was before this step`)
  optimizer.step()
  running.add(samples, value, output, target)
  return { value, samples }
}
