import { EspalierError } from '../native/index.js'
import { Linear, type Module, ReLU, Sequential, Sigmoid } from '../nn/index.js'
import * as qnn from '../quant/qnn.js'
import { type IntegerRange, integerRange } from '../quant/range.js'
import type { Generator } from '../tensor/index.js'
import { type AccumulatorWidths, keptLayer, leastWidth } from './accumulators.js'
import type { ModuleParameters } from './parameters.js'

/** Features, neurons of each hidden layer, outputs. */
export type Sizes = readonly number[]

/** The sizes that the parameters ask for. */
export function sizesFor({ moduleNLayers, moduleNHiddenNeuronsMultiplier }: ModuleParameters, features: number, outputs: number): Sizes {
  const hidden = Math.max(1, Math.floor(features * moduleNHiddenNeuronsMultiplier))
  return [features, ...new Array<number>(moduleNLayers - 1).fill(hidden), outputs]
}

/** The sizes of a network made here. */
export const sizesOf = (network: Sequential): Sizes => {
  const layers = linearLayers(network)
  return [layers[0].inFeatures, ...layers.map(({ outFeatures }) => outFeatures)]
}

/** The linear layers of a network made here, in order. */
export const linearLayers = (network: Sequential): Linear[] => [...network].filter((layer) => layer instanceof Linear)

export const widthsOf = ({ moduleNAccumBits, moduleNWBits, moduleQuantNarrow, modulePowerOfTwoScaling }: ModuleParameters): AccumulatorWidths => ({
  accumulatorBits: moduleNAccumBits,
  weightBits: moduleNWBits,
  weightNarrow: moduleQuantNarrow,
  powerOfTwo: modulePowerOfTwoScaling,
})

/** What a function gives is never negative. */
const neverNegative: ReadonlySet<unknown> = new Set([ReLU, Sigmoid])

/**
 * How the inputs of a layer are quantised. Behind a ReLU two's complement codes never use their lower
 * half, so the upper one is all that the clamp lets through: the same codes, and a proof half as wide.
 */
function activationCodes({ moduleNABits, moduleQuantSigned, moduleQuantNarrow, moduleActivationFunction }: ModuleParameters, first: boolean) {
  const half = moduleQuantSigned && !first && neverNegative.has(moduleActivationFunction)
  if (half) return { bits: moduleNABits - 1, signed: false, narrow: false }
  return { bits: moduleNABits, signed: moduleQuantSigned, narrow: moduleQuantNarrow }
}

/**
 * Concrete ML's built-in network: QuantIdentity, QuantLinear, activation, over and over, and no
 * activation behind the last. Modules are named `quant0`, `fc0`, `act0`, `quant1`, …
 *
 * @param collectSteps training steps in which thresholds follow the batches
 */
export function quantisedNetwork(
  parameters: ModuleParameters,
  sizes: Sizes,
  { generator, collectSteps }: { generator: Generator; collectSteps: number },
): Sequential {
  const layer = keptLayer(parameters.moduleAccumulator, widthsOf(parameters))
  return layered(parameters, sizes, (i, inputs, outputs) => ({
    [`quant${i}`]: new qnn.QuantIdentity({ ...activationCodes(parameters, i === 0), powerOfTwo: parameters.modulePowerOfTwoScaling, collectSteps }),
    [`fc${i}`]: new qnn.QuantLinear(inputs, outputs, { ...layer, generator }),
  }))
}

/** The same network in floats. */
export const floatNetwork = (parameters: ModuleParameters, sizes: Sizes, { generator }: { generator: Generator }): Sequential =>
  layered(parameters, sizes, (i, inputs, outputs) => ({ [`fc${i}`]: new Linear(inputs, outputs, { generator }) }))

function layered(
  { moduleActivationFunction }: ModuleParameters,
  sizes: Sizes,
  layer: (index: number, inputs: number, outputs: number) => Record<string, Module>,
): Sequential {
  const modules: Record<string, Module> = {}
  for (let i = 0; i + 1 < sizes.length; i++) {
    Object.assign(modules, layer(i, sizes[i], sizes[i + 1]))
    if (i + 2 < sizes.length) modules[`act${i}`] = new moduleActivationFunction()
  }
  return new Sequential(modules)
}

/** Throws where an accumulator is too narrow for any weight; the error says the width that would do. */
export function checkWidths(estimator: string, parameters: ModuleParameters): void {
  const { moduleNLayers, moduleNAccumBits, moduleAccumulator } = parameters
  const inputs: IntegerRange[] = Array.from({ length: Math.min(2, moduleNLayers) }, (_, i) => integerRange(activationCodes(parameters, i === 0)))
  const least = leastWidth(moduleAccumulator, widthsOf(parameters), inputs)
  if (moduleNAccumBits >= least) return
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `${estimator}: moduleNAccumBits is ${moduleNAccumBits}: under inputs of ${inputs.map(({ min, max }) => `${min}…${max}`).join(' and ')} there is no room for a weight of moduleNWBits ${parameters.moduleNWBits} beside the bias, expected at least ${least}`,
  )
}
