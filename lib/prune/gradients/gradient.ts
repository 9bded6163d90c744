import type { MaskGradient, Module, Removal } from '../../nn/index.js'

/**
 * A way in which weights fall that is no mask over them: it puts a transform of its own on the weight's
 * way and learns what falls. One that has parameters keeps them in the layer, so that they are trained
 * and saved; make the optimiser after the pruner then.
 */
export interface Reparametrisation {
  readonly name: string
  /** Puts it on a weight. */
  attach(module: Module, parameter: string): Removal
}

/** What masked weights learn: a mask's gradient rule, or something in the mask's place. */
export type Gradient = MaskGradient | Reparametrisation
