import { Linear, type Module } from '../../nn/index.js'
import { hostValues, type Tensor } from '../../tensor/index.js'
import { overwrite } from '../accumulators/channels.js'
import type { Target } from './axe.js'
import { watching } from './calibration.js'
import type { WeightedLayer } from './modules.js'

/**
 * Moves the bias of each layer in turn by what its outputs are off on average, so that the errors of rounded
 * weights and inputs do not add up to a shift. Nagel et al. 2019, "Data-free quantization through weight
 * equalization and bias correction", the empirical form. Layers without bias are left alone.
 */
export function correctBiases(model: Module, targets: readonly Target[], reference: Module, batches: readonly Tensor[]): void {
  for (const { layer, meant } of targets) {
    if (layer.effectiveOrNull('bias') === null) continue
    const [got, wanted] = [means(model, layer, batches), means(reference, meant, batches)]
    const bias = layer.latentWeight('bias')
    overwrite(
      bias,
      Float64Array.from(hostValues(bias.storage), (value, i) => value + wanted[i] - got[i]),
    )
  }
}

/** The mean of a layer's output over everything but its channels. */
function means(model: Module, layer: WeightedLayer, batches: readonly Tensor[]): Float64Array {
  const channels = layer.latentWeight('weight').shape[0]
  const sums = new Float64Array(channels)
  let count = 0
  const onOutput = (_: Module, y: Tensor): void => {
    const run = layer instanceof Linear ? 1 : y.size / (y.shape[0] * channels)
    for (const [i, value] of hostValues(y.storage).entries()) sums[Math.floor(i / run) % channels] += value
    count += y.size / channels
  }
  watching(model, [layer], { onOutput }, batches)
  return sums.map((sum) => sum / (count || 1))
}
