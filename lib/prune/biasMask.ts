import { describe, ensure } from '../native/index.js'
import { ConvTranspose2d, type Module, maskOf, type NewMask } from '../nn/index.js'
import { allocate, axisOf, hostValues, Tensor } from '../tensor/index.js'
import { slice } from './structures/slice.js'

/** What becomes of a filter's bias when the filter falls: it falls too, or stays (as in PyTorch), and ReLU(bias) goes on being emitted. */
export type BiasRule = 'mask' | 'keep'

/**
 * The masks to set beside one on a layer's weight whose slices along `dim` are filters: that of its
 * bias, 0 where a filter has no weight left. A layer without bias needs none.
 */
export function biasMasks(operation: string, rule: BiasRule, module: Module, name: string, dim: number | undefined, mask: Tensor): NewMask[] {
  ensure(rule === 'mask' || rule === 'keep', 'INVALID_ARGUMENT', () => `${operation}: bias is ${describe(rule)}, expected 'mask' or 'keep'`)
  if (rule === 'keep') return []
  // A transposed convolution keeps its filters in the second dimension.
  const filters = module instanceof ConvTranspose2d ? 1 : 0
  ensure(
    name === 'weight' && dim !== undefined && axisOf(operation, dim, mask.rank) === filters,
    'INVALID_ARGUMENT',
    () => `${operation}: a bias falls with the filters of a weight, dim ${filters} of a ${module.constructor.name}; here are ${name} and dim ${dim}`,
  )
  const latent = [...module.ownParameters()].find(([own]) => own === module.latentName('bias'))?.[1]
  if (latent === undefined) return []
  ensure(
    latent.rank === 1 && latent.size === mask.shape[filters],
    'SHAPE_MISMATCH',
    () => `${operation}: ${mask.shape[filters]} filters do not share out ${latent.size} biases`,
  )
  const [alive, before] = [slice(filters).open(mask), maskOf(module, 'bias')?.storage]
  const kept = before && hostValues(before)
  const data = allocate(latent.dtype, latent.size)
  for (let i = 0; i < data.length; i++) data[i] = alive[i] === 0 ? 0 : (kept?.[i] ?? 1)
  return [{ module, name: 'bias', mask: new Tensor(data, latent.shape, latent.dtype) }]
}
