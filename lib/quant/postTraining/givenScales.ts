import { type Module, stages } from '../../nn/index.js'
import { fakeQuant } from '../../ops/index.js'
import { empty, type Quantisation, type Tensor } from '../../tensor/index.js'
import { overwrite, perRow } from '../accumulators/channels.js'
import { Guard, guardTransform } from '../accumulators/guard.js'
import type { IntegerRange } from '../range.js'

/** A weight quantiser whose scales stand: one a channel, found by a method that chose the codes with them. */
export class GivenScales extends Guard {
  declare scales: Tensor

  /** @param scales > 0, one for each output channel of `weight` */
  constructor(
    readonly range: IntegerRange,
    scales: Float64Array,
    weight: Tensor,
  ) {
    super()
    const buffer = empty([scales.length], weight.dtype, weight.device)
    overwrite(buffer, scales)
    this.registerBuffer('scales', buffer)
  }

  override forward(weight: Tensor): Tensor {
    const { min, max } = this.range
    const scale = perRow(this.scales, weight)
    const quantised = fakeQuant(weight, scale, { min, max, gradient: 'straight-through' })
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
  }
}

/** Puts codes times scales into a layer, in place of its weights and whatever quantised them. */
export function giveCodes(layer: Module, codes: Int32Array, scales: Float64Array, range: IntegerRange): void {
  const latent = layer.latentWeight('weight')
  const fanIn = latent.size / (scales.length || 1)
  for (const transform of layer.weightTransforms('weight'))
    if (transform.stage >= stages.quantiser && transform.kind === 'quantiser') layer.removeTransform('weight', transform)
  Object.assign(layer, { weightQuantiser: new GivenScales(range, scales, latent) })
  layer.addTransform('weight', guardTransform)
  overwrite(
    latent,
    Float64Array.from(codes, (code, i) => code * scales[Math.floor(i / fanIn)]),
  )
}
