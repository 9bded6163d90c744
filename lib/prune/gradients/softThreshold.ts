import { ensure, realNumber } from '../../native/index.js'
import { Module, Parameter, stages, type WeightTransform } from '../../nn/index.js'
import { abs, mul, relu, sigmoid, sign, sub } from '../../ops/index.js'
import { full, type Tensor } from '../../tensor/index.js'
import type { Reparametrisation } from './gradient.js'

/** sign(w)·relu(|w| − σ(s)) with a learned s: what stands in a layer's field `weight_soft`. */
export class SoftThreshold extends Module {
  /** s, of one element: trained and saved with the layer. */
  threshold: Parameter

  constructor(initial: number, { dtype, device }: Pick<Tensor, 'dtype' | 'device'>) {
    super()
    this.threshold = new Parameter(full([1], initial, { dtype, device }))
  }

  forward(weight: Tensor): Tensor {
    return mul(sign(weight), relu(sub(abs(weight), sigmoid(this.threshold))))
  }
}

/**
 * Soft thresholds instead of masks: each layer learns how much of its weights is cut off, and all smaller ones are
 * 0. No amount is asked for: how sparse a layer becomes depends on the weight decay on s, which draws it
 * upwards to 0. Kusupati et al. 2020 (STR). Make the optimiser after the pruner, so that it finds the thresholds.
 *
 * @param options.initial s before training; the threshold is σ(s). Default −6: 0.0025
 */
export function softThreshold({ initial = -6 }: { initial?: number } = {}): Reparametrisation {
  realNumber('softThreshold: initial', initial)
  return {
    name: 'softThreshold',
    attach(module, parameter) {
      const field = `${parameter}_soft`
      // A clone in the middle of training has its own already.
      const present = module.weightTransforms(parameter).find((transform) => transform instanceof Shrinkage)
      ensure(present !== undefined || !(field in module), 'STATE', () => `softThreshold: ${module.constructor.name} has a field ${field} already`)
      if (present === undefined) {
        Object.assign(module, { [field]: new SoftThreshold(initial, module.latentWeight(parameter)) })
        module.addTransform(parameter, new Shrinkage(field))
      }
      return {
        remove() {
          for (const transform of module.weightTransforms(parameter)) if (transform instanceof Shrinkage) module.removeTransform(parameter, transform)
          module.unregister(field)
        },
      }
    },
  }
}

/** What is on the weight's way: it finds the layer's threshold by the name of its field, so that a clone computes with its own. */
class Shrinkage implements WeightTransform {
  readonly kind = 'mask'
  readonly stage = stages.mask

  constructor(readonly field: string) {}

  apply(weight: Tensor, module: Module): Tensor {
    return (module as unknown as Record<string, SoftThreshold>)[this.field].forward(weight)
  }

  clone(): Shrinkage {
    return new Shrinkage(this.field)
  }
}
