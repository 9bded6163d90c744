import { describe, EspalierError, wholeNumber } from '../native/index.js'
import type { StateDict } from '../nn/index.js'
import type { Callback } from './fit.js'

export interface EarlyStoppingOptions {
  /** The score to watch, of the validation data where there is some. Default 'loss'. */
  monitor?: string
  /** Whether it should fall or rise. Default 'min' for the loss, else 'max'. */
  mode?: 'min' | 'max'
  /** Epochs without improvement that are let pass. Default 5. */
  patience?: number
  /** An improvement is more than this. Default 0. */
  minDelta?: number
  /** Return to the best epoch's state at the stop. Default true. */
  restoreBest?: boolean
}

/** Ends a training whose score no longer improves. */
export function earlyStopping({
  monitor = 'loss',
  mode = monitor === 'loss' ? 'min' : 'max',
  patience = 5,
  minDelta = 0,
  restoreBest = true,
}: EarlyStoppingOptions = {}): Callback {
  wholeNumber('earlyStopping: patience', patience)
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
