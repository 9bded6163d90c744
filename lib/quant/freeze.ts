import { ensure } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { maskOf, removeMask } from '../nn/index.js'
import { centresUnderMask } from './accumulators/a2q.js'

/**
 * Ends a model's training: masks are written into the weights (but for those of A2Q+, which stay), scales and thresholds stand still
 * (evaluation mode), and no parameter takes a gradient any more. What `certify` then proves stays true.
 *
 * @returns the model itself
 */
export function freeze<M extends Module>(model: M): M {
  ensure(
    [...model.modules()].some((module) => 'inputQuantisation' in module),
    'INVALID_ARGUMENT',
    () => 'freeze: the model has no quantised layer',
  )
  for (const module of model.modules())
    for (const name of ['weight', 'bias']) if (maskOf(module, name) !== null && !(name === 'weight' && centresUnderMask(module))) removeMask(module, name)
  model.requiresGrad(false)
  return model.eval()
}
