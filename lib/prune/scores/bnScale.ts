import { describe, EspalierError, ensure } from '../../native/index.js'
import { BatchNorm1d, BatchNorm2d, ConvTranspose2d, Module } from '../../nn/index.js'
import { abs, expand } from '../../ops/index.js'
import { onHost } from '../onHost.js'
import type { Score } from './score.js'

/**
 * |γ| of the batch norm behind a layer, at each weight of the channel's filter: network slimming. Meant for the
 * structure `filter`. Liu et al. 2017.
 *
 * @param options.of finds a layer's batch norm. Default: the first one that follows it in the model before another
 *   layer does, of as many channels
 */
export function bnScale({ of = following }: { of?: (module: Module, model: Module) => Module | null } = {}): Score {
  return {
    name: 'bnScale',
    magnitude: true,
    // All weights of a filter have its score: the largest is it.
    norm: Number.POSITIVE_INFINITY,
    of(weight, { module, model }) {
      if (module === null || model === null) throw new EspalierError('STATE', 'bnScale: only a Pruner knows which batch norm follows a layer')
      const axis = module instanceof ConvTranspose2d ? 1 : 0
      const norm = of(module, model)
      ensure(norm instanceof Module, 'INVALID_ARGUMENT', () => `bnScale: no batch norm was found behind a ${module.constructor.name}; it is ${describe(norm)}`)
      const scale = onHost(norm.effective('weight'))
      ensure(
        scale?.rank === 1 && scale.size === weight.shape[axis],
        'SHAPE_MISMATCH',
        () => `bnScale: a ${norm.constructor.name} of ${scale?.size ?? 'no'} scales stands behind a layer of ${weight.shape[axis]} filters`,
      )
      return expand(abs(scale).reshape(weight.shape.map((size, i) => (i === axis ? size : 1))), [...weight.shape])
    },
  }
}

function following(module: Module, model: Module): Module | null {
  const modules = [...model.modules()]
  for (const next of modules.slice(modules.indexOf(module) + 1)) {
    if (next instanceof BatchNorm2d || next instanceof BatchNorm1d) return next
    if ('weight' in next && next.latentWeight('weight').rank >= 2) return null
  }
  return null
}
