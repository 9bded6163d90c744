import type { Module } from '../../nn/index.js'
import type { Tensor } from '../../tensor/index.js'
import type { Ranked } from '../drawMasks.js'
import type { Structure } from '../structures/structure.js'
import type { Amount } from './amount.js'

/** A weight that an amount is shared out to. */
export interface Candidate extends Ranked {
  /** Dotted name of the layer. */
  readonly name: string
  readonly module: Module
  readonly latent: Tensor
  readonly structure: Structure
  readonly units: number
  /** Units that have not fallen. */
  readonly remaining: number
}

/** Weights whose units are ranked together, and how many of those fall. */
export interface Pool {
  /** Indices of candidates. */
  readonly members: readonly number[]
  readonly amount: Amount
}

/** How an amount is shared out among the weights of a model. */
export interface Allocation {
  readonly name: string
  pools(candidates: readonly Candidate[], amount: Amount): readonly Pool[]
}
