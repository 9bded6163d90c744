import { describe, ensure } from '../native/index.js'
import { Module, maskOf } from '../nn/index.js'
import { formatShape, isFloat, sameShape, Tensor } from '../tensor/index.js'
import { type Ranked, ranked } from './drawMasks.js'
import { onHost } from './onHost.js'

/** A parameter, by its module and its name there. */
export type Pair = readonly [module: Module, name: string]

/** `module`, or the error for what is none. */
export function checkedModule(operation: string, module: unknown): Module {
  ensure(module instanceof Module, 'INVALID_ARGUMENT', () => `${operation}: the module is ${describe(module)}, expected a Module`)
  return module
}

/** Options that cannot be left out, or the error where they are. */
export function checkedOptions<Options>(operation: string, options: Options): Options {
  ensure(typeof options === 'object' && options !== null, 'INVALID_ARGUMENT', () => `${operation}: the options are ${describe(options)}, expected an object`)
  return options
}

/** A list of distinct pairs, or the error for what is none. */
export function checkedPairs(operation: string, pairs: unknown): Pair[] {
  ensure(
    typeof pairs === 'object' && pairs !== null && Symbol.iterator in pairs,
    'INVALID_ARGUMENT',
    () => `${operation}: the parameters are ${describe(pairs)}, expected a list of [module, name]`,
  )
  const list = [...(pairs as Iterable<unknown>)]
  ensure(list.length > 0, 'INVALID_ARGUMENT', () => `${operation}: there is no parameter in the list`)
  const seen = new Set<Tensor>()
  for (const pair of list) {
    ensure(Array.isArray(pair) && pair.length === 2, 'INVALID_ARGUMENT', () => `${operation}: ${describe(pair)} is no [module, name]`)
    const latent = checkedModule(operation, pair[0]).latentWeight(pair[1] as string)
    ensure(!seen.has(latent), 'INVALID_ARGUMENT', () => `${operation}: the parameter ${describe(pair[1])} of a ${pair[0].constructor.name} is listed twice`)
    seen.add(latent)
  }
  return list as Pair[]
}

/**
 * A parameter as pruning looks at it: its current value under its mask. Scores that stand in for it are taken as
 * they are.
 */
export function weightOf(operation: string, module: Module, name: string, importanceScores?: Tensor): Ranked {
  const latent = checkedModule(operation, module).latentWeight(name)
  const mask = maskOf(module, name)
  ensure(isFloat(latent.dtype), 'DTYPE_MISMATCH', () => `${operation}: ${name} is ${latent.dtype}, expected float32 or float64`)
  if (importanceScores !== undefined) return { weight: checkedScores(operation, importanceScores, latent), mask: mask && onHost(mask) }
  return ranked(latent, mask)
}

function checkedScores(operation: string, scores: unknown, { shape, dtype }: Tensor): Tensor {
  ensure(scores instanceof Tensor, 'INVALID_ARGUMENT', () => `${operation}: the importance scores are ${describe(scores)}, expected a tensor`)
  ensure(
    sameShape(scores.shape, shape),
    'SHAPE_MISMATCH',
    () => `${operation}: the importance scores have shape ${formatShape(scores.shape)}, the weight ${formatShape(shape)}`,
  )
  ensure(scores.dtype === dtype, 'DTYPE_MISMATCH', () => `${operation}: the importance scores are ${scores.dtype}, the weight ${dtype}`)
  return onHost(scores)
}
