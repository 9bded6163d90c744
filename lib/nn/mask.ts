import { describe, EspalierError, ensure, native } from '../native/index.js'
import { mul } from '../ops/index.js'
import { converted, formatShape, sameShape, Tensor } from '../tensor/index.js'
import { field } from './internals.js'
import { plans } from './maskPlan.js'
import type { Module } from './module.js'
import { stages, type WeightTransform } from './transform.js'

/** How a weight meets its mask: the product, with the gradient that the method wants. */
export type MaskGradient = (weight: Tensor, mask: Tensor) => Tensor

/** Masked weights receive no gradient, as in PyTorch. */
export const maskedGradient: MaskGradient = (weight, mask) => mul(weight, mask)

/** A mask on a weight's way. The mask itself is the module's buffer `<name>_mask`, saved with its state. */
export class MaskTransform implements WeightTransform {
  readonly kind = 'mask'
  readonly stage = stages.mask

  constructor(
    readonly name: string,
    readonly gradient: MaskGradient = maskedGradient,
  ) {}

  /** The mask in use. */
  mask(module: Module): Tensor {
    return maskField(module, this.name) as Tensor
  }

  apply(weight: Tensor, module: Module): Tensor {
    return this.gradient(weight, this.mask(module))
  }
}

const maskField = (module: Module, name: string): unknown => field(module, `${name}_mask`)

const transformOf = (module: Module, name: string): MaskTransform | undefined =>
  module.weightTransforms(name).find((transform): transform is MaskTransform => transform instanceof MaskTransform)

/** A weight's mask (the tensor in use, not a copy), or null where it has none. */
export function maskOf(module: Module, name: string): Tensor | null {
  return transformOf(module, name) === undefined ? null : (maskField(module, name) as Tensor)
}

/**
 * Puts a mask on a parameter, or another in the place of the one it has: the forward pass uses
 * weight · mask. Any values are allowed, 0 and 1 are the usual ones; the values are copied.
 *
 * State follows PyTorch's pruning: the parameter itself (optimisers keep it) becomes `<name>_orig`,
 * the mask the buffer `<name>_mask`, and `module.<name>` shows the product.
 *
 * @throws EspalierError SHAPE_MISMATCH for a mask of another shape; nothing is changed then
 * @example
 * ```ts
 * import { nn } from 'espalier'
 * const layer = new nn.Linear(64, 10)
 * nn.setMask(layer, 'weight', nn.fanInMask(layer.weight, 12)) // at most 12 active inputs a neuron
 * layer.effective('weight')                                   // what forward uses
 * layer.latentWeight('weight')                                // the Parameter that is learned
 * nn.removeMask(layer, 'weight')                              // the zeros become ordinary weights
 * ```
 */
export function setMask(module: Module, name: string, mask: Tensor, { gradient }: { gradient?: MaskGradient } = {}): void {
  setMasks([{ module, name, mask, gradient }])
}

/** One of several masks to set. */
export interface NewMask {
  readonly module: Module
  readonly name: string
  readonly mask: Tensor
  /** Default: that of the mask it takes the place of, else `maskedGradient`. */
  readonly gradient?: MaskGradient
}

/**
 * `setMask` for several parameters, all or nothing: if one of the masks cannot be set, none is.
 * @param options.handOver the masks were made for this and nobody else will write to them: no copy is needed
 */
export function setMasks(masks: readonly NewMask[], { handOver = false }: { handOver?: boolean } = {}): void {
  const owned = masks.map((one) => checkedMask(one, handOver))
  for (const [i, { module, name, gradient }] of masks.entries()) putMask(module, name, owned[i], gradient)
}

/** A mask in the parameter's dtype, a copy unless it is handed over, or the error for one that cannot be set. */
function checkedMask({ module, name, mask }: NewMask, handOver: boolean): Tensor {
  const latent = module.latentWeight(name)
  ensure(mask instanceof Tensor, 'INVALID_ARGUMENT', () => `setMask: the mask is ${describe(mask)}, expected a tensor`)
  ensure(
    sameShape(mask.shape, latent.shape),
    'SHAPE_MISMATCH',
    () => `setMask: the mask has shape ${formatShape(mask.shape)}, ${name} ${formatShape(latent.shape)}`,
  )
  if (transformOf(module, name) === undefined)
    for (const taken of [`${name}_orig`, `${name}_mask`])
      if (taken in module) throw new EspalierError('STATE', `setMask: ${module.constructor.name} has a field ${taken} already`)
  if (handOver && mask.dtype === latent.dtype && mask.device === latent.device && !mask.requiresGrad)
    return new Tensor(mask.storage, latent.shape, latent.dtype)
  return new Tensor(converted(mask.storage, latent.dtype, latent.device), latent.shape, latent.dtype)
}

function putMask(module: Module, name: string, mask: Tensor, gradient: MaskGradient | undefined): void {
  const present = transformOf(module, name)
  if (present === undefined) {
    module.moveLatent(name, `${name}_orig`, stages.quantiser)
    module.registerBuffer(`${name}_mask`, mask)
    module.addTransform(name, new MaskTransform(name, gradient))
    return
  }
  module.registerBuffer(`${name}_mask`, mask)
  if (gradient !== undefined && gradient !== present.gradient) {
    module.removeTransform(name, present)
    module.addTransform(name, new MaskTransform(name, gradient))
  }
}

/**
 * Takes a parameter's mask off. The parameter returns to its own name with the masked values written
 * into it (its zeros are ordinary weights from then on), or with `keep: 'latent'` as it was learned.
 *
 * @throws EspalierError STATE where there is no mask
 */
export function removeMask(module: Module, name: string, { keep = 'masked' }: { keep?: 'masked' | 'latent' } = {}): void {
  const transform = transformOf(module, name)
  if (transform === undefined) throw new EspalierError('STATE', `removeMask: ${name} of ${module.constructor.name} has no mask`)
  const latent = module.latentWeight(name)
  const mask = maskField(module, name) as Tensor
  if (keep === 'masked') native.applyMask(latent.storage, mask.storage, latent.storage)
  module.removeTransform(name, transform)
  module.unregister(`${name}_mask`)
  module.moveLatent(name, name, 0)
  // (A gradient still to come by the mask has its kernels made again.)
  if (name === 'weight') plans.get(module)?.forget()
}
