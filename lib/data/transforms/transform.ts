import type { Tensor } from '../../tensor/index.js'

/** What the x of a batch passes through: a loader's `transform`, or by `mapped`. */
export type Transform = (x: Tensor) => Tensor

/** One transform after the other. */
export const compose =
  (...transforms: readonly Transform[]): Transform =>
  (x) =>
    transforms.reduce((sofar, transform) => transform(sofar), x)
