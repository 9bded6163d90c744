// What the layers with a weight and a bias share.
import { cast } from '../../ops/index.js'
import { empty, type Generator, isHalf, type Shape, type Tensor } from '../../tensor/index.js'
import { fans } from '../init/fans.js'
import { uniform } from '../init/fill.js'
import type { Module } from '../module.js'
import { Parameter } from '../parameter.js'

export interface WeightOptions {
  /** Whether an offset is learned for each output. Default true. */
  bias?: boolean
  /** Where the initial values come from; by default the global generator. */
  generator?: Generator
}

export const weightOf = (shape: Shape): Parameter => new Parameter(empty(shape))
export const biasOf = (wanted: boolean, size: number): Parameter | null => (wanted ? new Parameter(empty([size])) : null)

/** PyTorch's default: weight and bias from U(−b, b), b = 1 / √fanIn. */
export function resetWeights(module: Module, generator?: Generator): void {
  const weight = module.latentWeight('weight')
  const { fanIn } = fans(weight.shape)
  const bound = fanIn === 0 ? 0 : 1 / Math.sqrt(fanIn)
  uniform(weight, -bound, bound, { generator })
  if (module.effectiveOrNull('bias') !== null) uniform(module.latentWeight('bias'), -bound, bound, { generator })
}

/**
 * A weight or bias as it meets x: float32 parameters take part in 16 bits where x has 16, and their gradients
 * come back in float32. So a network computes in the type of its input. (What is no tensor the operation refuses.)
 */
export const beside = <T extends Tensor | null>(x: Tensor, weight: T): T =>
  isHalf(x?.dtype) && weight?.dtype === 'float32' ? (cast(weight, x.dtype) as T) : weight

/** Gives a layer the dtype of a weight, and moves it to its device. */
export function moveBeside(layer: Module, { dtype, device }: Tensor): void {
  layer.to(dtype as 'float32' | 'float64').to(device)
}

/** A pair as error messages and `toString` show it. */
export const show = (value: unknown): string => (Array.isArray(value) ? `[${value.join(', ')}]` : typeof value === 'string' ? `'${value}'` : String(value))

/** The options that differ from their defaults, for `toString`. */
export const showOptions = (options: Record<string, unknown>, defaults: Record<string, unknown>): string =>
  Object.entries(options)
    .filter(([name, value]) => value !== undefined && show(value) !== show(defaults[name]))
    .map(([name, value]) => `, ${name}: ${show(value)}`)
    .join('')
