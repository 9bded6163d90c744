import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../native/index.js'
import type { StateDict } from '../nn/index.js'
import type { Callback } from './fit.js'

export interface EarlyStoppingOptions {
  /** The score to watch, of the validation data where there is some. Default 'loss'. */
  monitor?: string
  /** Whether it should fall or rise. Default 'min' for the loss, else 'max'. */
  mode?: 'min' | 'max'
  /** Epochs without improvement that are let pass, from 0. Default 5. */
  patience?: number
  /** An improvement is more than this, from 0. Default 0. */
  minDelta?: number
  /** Return to the best epoch's state at the stop. Default true. */
  restoreBest?: boolean
}

/**
 * A callback of `fit` that ends a training whose score no longer improves: after `patience` epochs in a row without an
 * improvement, at the end of the next one.
 *
 * @throws EspalierError INVALID_ARGUMENT for options out of range, and at the end of an epoch that has no such score
 * @example
 * ```ts
 * import { accuracy, data, earlyStopping, fit, nn, ops, optim } from 'espalier'
 * const { train, test } = data.digits()
 * const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 10))
 * const { stopped } = await fit(model, {
 *   train,
 *   validation: test,
 *   epochs: 4,
 *   optimizer: new optim.Adam(model.parameters(), { lr: 0.01 }),
 *   loss: ops.crossEntropy,
 *   metrics: { accuracy },
 *   callbacks: [earlyStopping({ monitor: 'accuracy', patience: 1 })],
 * })
 * ```
 */
export function earlyStopping({
  monitor = 'loss',
  mode = monitor === 'loss' ? 'min' : 'max',
  patience = 5,
  minDelta = 0,
  restoreBest = true,
}: EarlyStoppingOptions = {}): Callback {
  wholeNumber('earlyStopping: patience', patience)
  realNumber('earlyStopping: minDelta', minDelta, 0)
  ensure(mode === 'min' || mode === 'max', 'INVALID_ARGUMENT', () => `earlyStopping: mode is ${describe(mode)}, expected 'min' or 'max'`)
  const sign = mode === 'min' ? -1 : 1
  let best = -Infinity
  let bestState: StateDict | null = null
  let waited = 0
  return {
    onEpochEnd({ model, stop }, { train, validation }) {
      const score = (validation ?? train)[monitor]
      if (score === undefined) throw new EspalierError('INVALID_ARGUMENT', `earlyStopping: there is no score ${describe(monitor)}`)
      if (sign * score > best + minDelta) {
        best = sign * score
        waited = 0
        if (restoreBest) bestState = model.stateDict()
        return
      }
      if (++waited <= patience) return
      if (bestState !== null) model.loadStateDict(bestState)
      stop()
    },
  }
}
