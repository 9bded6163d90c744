import { EspalierError, ensure } from '../../native/index.js'
import { mul, reshape } from '../../ops/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import type { AccumulatingLayer } from '../integer.js'
import { QuantTensor } from '../quantTensor.js'
import { bitsFor } from '../range.js'

export interface OutputOptions {
  /**
   * Give the output as a `QuantTensor`: the integers are the sums in the accumulator, the scale
   * scale_in · scale_weight. It wants a quantised input, and no bias or an integer one. Default false.
   */
  returnQuantTensor?: boolean
}

/**
 * What a layer gives for x, with the accumulator's integers behind it. Their range is what the widths of
 * inputs, weights and bias allow; what the weights themselves allow, `quant.certify` tells.
 */
export function withSums(layer: AccumulatingLayer, x: Tensor, y: Tensor): QuantTensor {
  const name = layer.constructor.name
  const input = x.quantisation
  if (input === null) throw new EspalierError('STATE', `${name}: returnQuantTensor wants a quantised input; put a QuantIdentity or QuantReLU in front`)
  ensure(
    layer.biasRange !== null || layer.effectiveOrNull('bias') === null,
    'STATE',
    () => `${name}: returnQuantTensor wants an integer bias (biasBits) or none; a float one is added outside of the integers`,
  )
  const weight = layer.effective('weight')
  const { scale, min, max } = weight.quantisation as Quantisation
  const fanIn = weight.shape[0] === 0 ? 0 : weight.size / weight.shape[0]
  const products = [input.min * min, input.min * max, input.max * min, input.max * max]
  const low = fanIn * Math.min(...products) + (layer.biasRange?.min ?? 0)
  const high = fanIn * Math.max(...products) + (layer.biasRange?.max ?? 0)
  const unit = mul(input.scale, scale.size === 1 ? reshape(scale, []) : reshape(scale, [-1, ...new Array<number>(y.rank - 2).fill(1)]))
  y.quantisation = { scale: unit, min: low, max: high, bits: bitsFor(low, high) }
  return new QuantTensor(y, layer.training)
}
