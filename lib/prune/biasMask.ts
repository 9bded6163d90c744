import { describe, EspalierError, ensure, type NativeArray } from '../native/index.js'
import { ConvTranspose2d, type Module, maskOf, type NewMask, type Parameter } from '../nn/index.js'
import { allocate, axisOf, hostValues, Tensor } from '../tensor/index.js'
import { slice } from './structures/slice.js'

/** What becomes of a filter's bias when the filter falls: it falls too, or stays (as in PyTorch), and ReLU(bias) goes on being emitted. */
export type BiasRule = 'mask' | 'keep'

/** `rule`, or the error for what is none. */
export function checkedBiasRule(operation: string, rule: unknown): BiasRule {
  if (rule === 'mask' || rule === 'keep') return rule
  throw new EspalierError('INVALID_ARGUMENT', `${operation}: bias is ${describe(rule)}, expected 'mask' or 'keep'`)
}

// A transposed convolution keeps its filters in the second dimension.
const filterAxis = (module: Module): number => (module instanceof ConvTranspose2d ? 1 : 0)

/** For each filter of a layer the entries of a mask, or of the weight, that are not 0. */
export const entriesLeft = (module: Module, weight: Tensor): NativeArray =>
  slice(filterAxis(module)).rank(weight, { name: 'entries', of: (x) => x, magnitude: true, norm: 0 })

/** A layer's bias as it is learned, or null where it has none. */
export function latentBias(module: Module): Parameter | null {
  return [...module.ownParameters()].find(([own]) => own === module.latentName('bias'))?.[1] ?? null
}

/** The mask of a layer's bias that follows one of its weight: 0 where a filter has nothing left, elsewhere what it was, or 1. Null without bias. */
export function biasMask(operation: string, module: Module, mask: Tensor, before: Tensor | null): Tensor | null {
  const latent = latentBias(module)
  if (latent === null) return null
  const left = entriesLeft(module, mask)
  ensure(
    latent.rank === 1 && latent.size === left.length,
    'SHAPE_MISMATCH',
    () => `${operation}: ${left.length} filters do not share out ${latent.size} biases`,
  )
  const kept = before === null ? null : hostValues(before.storage)
  const data = allocate(latent.dtype, latent.size)
  for (let i = 0; i < data.length; i++) data[i] = left[i] === 0 ? 0 : (kept?.[i] ?? 1)
  return new Tensor(data, latent.shape, latent.dtype)
}

/**
 * The masks to set beside one on a layer's weight whose slices along `dim` are filters: that of its
 * bias, 0 where a filter has no weight left. A layer without bias needs none.
 */
export function biasMasks(operation: string, rule: BiasRule, module: Module, name: string, dim: number | undefined, mask: Tensor): NewMask[] {
  if (checkedBiasRule(operation, rule) === 'keep') return []
  const filters = filterAxis(module)
  ensure(
    name === 'weight' && dim !== undefined && axisOf(operation, dim, mask.rank) === filters,
    'INVALID_ARGUMENT',
    () => `${operation}: a bias falls with the filters of a weight, dim ${filters} of a ${module.constructor.name}; here are ${name} and dim ${dim}`,
  )
  const made = biasMask(operation, module, mask, maskOf(module, 'bias'))
  return made === null ? [] : [{ module, name: 'bias', mask: made }]
}
