import type { Score } from '../scores/score.js'

/** Where a training stands. */
export interface Moment {
  /** Steps (or epochs, by `every`) since the start, at which it is 0. */
  readonly tick: number
  /** Samples trained on since the start. */
  readonly samples: number
  /** How often the schedule has acted. */
  readonly acts: number
}

/** Some of the units that stand fall, and as many of the others return with the value 0. */
export interface Regrowth {
  /** Share of each layer's standing units that is exchanged, 0 to 1. */
  readonly share: number
  /** Those of the highest score return. */
  readonly by: Score
}

/** What is to be done at a moment. */
export interface Action {
  /** The number that stands for the amount's own. Absent: its own. */
  readonly level?: number
  /** 'onward' (default): what fell stays fallen. 'anew': latent weights are ranked as if nothing had fallen. */
  readonly draw?: 'onward' | 'anew'
  /** Ranks in the place of the pruner's score. */
  readonly score?: Score
  /** After the amount has been reached, an exchange. */
  readonly regrow?: Regrowth
  /** What falls is set to 0 in place and goes on learning: no mask stays. */
  readonly soft?: boolean
}

/** When to prune. It keeps no state of its own: that is the pruner's, and saved with it. */
export interface Schedule {
  readonly name: string
  /** What a tick is in `fit`: an optimiser's step, or an epoch. By hand a tick is a call of `Pruner.step`. */
  readonly every: 'step' | 'epoch'
  /** What to do at this moment, or null; `goal` is the amount's own number. The first is tick 0, before training. */
  at(moment: Moment, goal: number): Action | null
  /** Scores that its actions name, so that what they need is observed. */
  readonly scores?: readonly Score[]
}
