import type { Tensor } from '../tensor/index.js'
import type { MaskedKernels } from './maskedKernels.js'
import type { Module } from './module.js'
import type { WeightTransform } from './transform.js'

/** Undoes what returned it; a second call does nothing. */
export interface Removal {
  remove(): void
}

/** Sees a module's inputs before `forward`; a returned list replaces them. */
export type ForwardPreHook = (module: Module, inputs: Tensor[]) => Tensor[] | undefined
/** Sees a module's inputs and output after `forward`; a returned tensor replaces the output. */
export type ForwardHook = (module: Module, inputs: Tensor[], output: Tensor) => Tensor | undefined

/** How one weight reaches the forward pass: the parameter it starts from, and what it passes through. */
export interface WeightPath {
  /** Field of the parameter: the weight's own name, or another while its name shows the masked weight. */
  latent: string
  /** The weight's name shows what the transforms of lower stages make of the parameter. */
  shownBelow: number
  transforms: readonly WeightTransform[]
}

/** What a module keeps beside its fields. */
export interface Internals {
  /** Buffers by name: whether they are saved, and whether they stay on the CPU. */
  readonly buffers: Map<string, { persistent: boolean; onHost: boolean }>
  readonly weights: Map<string, WeightPath>
  /** How its masked weight is multiplied. */
  maskedKernels: MaskedKernels
  readonly preHooks: Set<ForwardPreHook>
  readonly hooks: Set<ForwardHook>
}

/** Where a module keeps them: under a symbol, since its named fields are the registry. */
export const internals = Symbol('internals')

export const newInternals = (): Internals => ({
  buffers: new Map(),
  weights: new Map(),
  maskedKernels: 'auto',
  preHooks: new Set(),
  hooks: new Set(),
})

/** A module's field, by a name made at run time. */
export const field = (module: Module, name: string): unknown => (module as unknown as Record<string, unknown>)[name]

/** Names of modules and of what is in them are joined by dots. */
export const join = (prefix: string, name: string): string => (prefix === '' ? name : prefix.concat('.', name))
