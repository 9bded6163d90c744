import { Conv1d, Conv2d, Linear, type Module, maskOf, setMask } from '../../nn/index.js'
import { assign, converted, fill } from '../../tensor/index.js'
import type { BiasOptions } from '../bias.js'
import { QuantConv1d } from '../layers/quantConv1d.js'
import { QuantConv2d } from '../layers/quantConv2d.js'
import { QuantLinear } from '../layers/quantLinear.js'
import type { WeightQuantiserOptions } from '../weights.js'
import type { CodedLayer } from './approximate.js'

/** What a quantised layer is made with. */
export type TwinOptions = WeightQuantiserOptions & BiasOptions & { bias: boolean }

/** How a float layer becomes a quantised one of the same sizes. */
interface TwinKind<L extends Module> {
  readonly of: new (...args: never[]) => L
  make(layer: L, options: TwinOptions): CodedLayer
}

const kind = <L extends Module>(one: TwinKind<L>): TwinKind<Module> => one as unknown as TwinKind<Module>

const kinds: readonly TwinKind<Module>[] = [
  kind({ of: Linear, make: ({ inFeatures, outFeatures }, options) => new QuantLinear(inFeatures, outFeatures, options) }),
  kind({
    of: Conv1d,
    make: ({ inChannels, outChannels, kernelSize, geometry }, options) => new QuantConv1d(inChannels, outChannels, kernelSize, { ...geometry, ...options }),
  }),
  kind({
    of: Conv2d,
    make: ({ inChannels, outChannels, kernelSize, geometry }, options) => new QuantConv2d(inChannels, outChannels, kernelSize, { ...geometry, ...options }),
  }),
]

const kindOf = (module: Module): TwinKind<Module> | undefined => kinds.find(({ of }) => module.constructor === of)

/** Whether there is a quantised layer for a module. */
export const hasTwin = (module: Module): boolean => kindOf(module) !== undefined

/** The names of the layers that have one. */
export const twinNames = (): string => kinds.map(({ of }) => of.name).join(', ')

/** The quantised twin of a float layer: its sizes, weights, bias and masks. */
export function twinOf(layer: Module, options: TwinOptions): CodedLayer {
  const twin = kindOf(layer)!.make(layer, options)
  const latent = layer.latentWeight('weight')
  if (latent.dtype === 'float64') twin.to('float64')
  twin.to(latent.device)
  for (const name of ['weight', 'bias']) {
    if (twin.effectiveOrNull(name) === null) continue
    const to = twin.latentWeight(name)
    if (layer.effectiveOrNull(name) === null) {
      fill(to.storage, 0)
      continue
    }
    assign(to.storage, converted(layer.latentWeight(name).storage, to.dtype, to.device))
    const mask = maskOf(layer, name)
    if (mask !== null) setMask(twin, name, mask)
  }
  return twin
}
