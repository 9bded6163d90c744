import { noGrad } from '../../autograd/index.js'
import { describe, EspalierError, ensure } from '../../native/index.js'
import { Identity, type Module, maskOf, Parameter, removeMask } from '../../nn/index.js'
import { empty, hostValues } from '../../tensor/index.js'
import { overwrite } from '../accumulators/channels.js'
import { guardOf } from '../accumulators/guard.js'
import { type BatchNorm, isBatchNorm, isWeighted, replaceModules, sequencesIn, unshared, type WeightedLayer } from './modules.js'

/** A layer, and the batch norm that its output goes through and nothing else reads. */
export type FoldedPair = readonly [layer: Module, norm: Module]

export interface FoldOptions {
  /** What follows what, where a `forward` of the model's own says so. Default: found in the `Sequential`s of the model. */
  pairs?: readonly FoldedPair[]
}

/**
 * Merges batch norms into the convolutions and linear layers in front of them, in place: y = γ(Wx + b − μ)/√(σ² + ε) + β
 * is a layer of weights γ/√(σ² + ε)·W. The running statistics are used, so the outputs are those of evaluation
 * mode, up to rounding; where the norm stood there is an `nn.Identity`. A layer without bias gets one. Masks stay.
 *
 * A layer that is quantised already can be folded where its codes stay the same: every channel has a scale of its
 * own that follows the weights (`perChannel`), and the bias is a float.
 *
 * @returns the model itself
 * @throws EspalierError INVALID_ARGUMENT where a pair cannot be folded, or there is none; nothing is changed then
 * @example
 * ```ts
 * import { nn, quant, randn } from 'espalier'
 * const model = new nn.Sequential(new nn.Conv2d(1, 8, 3, { bias: false }), new nn.BatchNorm2d(8), new nn.ReLU()).eval()
 * const x = randn([2, 1, 8, 8])
 * const before = model.forward(x)
 * quant.foldBatchNorm(model)
 * model.forward(x).sub(before).abs().max().item() // below 1e-5
 * ```
 */
export function foldBatchNorm<M extends Module>(model: M, { pairs }: FoldOptions = {}): M {
  const found = pairs ?? foldablePairs(model)
  ensure(found.length > 0, 'INVALID_ARGUMENT', () => 'foldBatchNorm: no convolution or linear layer of the model is followed by a batch norm')
  const within = unshared(model)
  const folds = found.map((pair) => checkedPair(pair, within))
  const twice = folds.find(([layer, norm], i) => folds.slice(0, i).some((other) => other[0] === layer || other[1] === norm))
  ensure(twice === undefined, 'INVALID_ARGUMENT', () => `foldBatchNorm: ${describe(twice?.[0])} or its norm is in two pairs`)
  const made = folds.map(([layer, norm]) => folded(layer, norm))
  for (const [i, [layer]] of folds.entries()) put(layer, made[i])
  replaceModules(model, new Map(folds.map(([, norm]) => [norm, new Identity()])))
  return model
}

/** The pairs in a model's sequences that can be folded. */
export function foldablePairs(model: Module): [WeightedLayer, BatchNorm][] {
  const within = unshared(model)
  return sequencesIn(model).flatMap((steps) =>
    steps.flatMap((norm, i): [WeightedLayer, BatchNorm][] => {
      const layer = steps[i - 1]
      return isBatchNorm(norm) && isWeighted(layer) && whyNot(layer, norm, within) === null ? [[layer, norm]] : []
    }),
  )
}

function checkedPair(pair: FoldedPair, within: ReadonlySet<Module>): [WeightedLayer, BatchNorm] {
  ensure(Array.isArray(pair) && pair.length === 2, 'INVALID_ARGUMENT', () => `foldBatchNorm: a pair is ${describe(pair)}, expected [layer, norm]`)
  const [layer, norm] = pair
  ensure(isWeighted(layer), 'INVALID_ARGUMENT', () => `foldBatchNorm: the layer is ${describe(layer)}, expected a Conv1d, Conv2d or Linear`)
  ensure(isBatchNorm(norm), 'INVALID_ARGUMENT', () => `foldBatchNorm: the norm is ${describe(norm)}, expected a BatchNorm1d or BatchNorm2d`)
  const reason = whyNot(layer, norm, within)
  if (reason !== null) throw new EspalierError('INVALID_ARGUMENT', `foldBatchNorm: ${layer.constructor.name}(${layer.extraRepr()}): ${reason}`)
  return [layer, norm]
}

/** Why a pair cannot be folded; null where it can. */
function whyNot(layer: WeightedLayer, norm: BatchNorm, within: ReadonlySet<Module>): string | null {
  const outputs = layer.latentWeight('weight').shape[0]
  if (!within.has(layer) || !within.has(norm)) return 'the layer or its norm is not in the model, or shared within it'
  if (norm.running_mean === null || norm.running_var === null) return 'the batch norm keeps no running statistics'
  if (norm.numFeatures !== outputs) return `it has ${outputs} outputs, the batch norm ${norm.numFeatures} features`
  if (layer.weightTransforms('weight').every(({ kind }) => kind !== 'quantiser')) return null
  if ('biasRange' in layer && layer.biasRange !== null) return 'its bias is an integer; fold before quantising'
  return guardOf(layer) === null && keepsCodes(layer, norm)
    ? null
    : 'its weights are quantised with scales that do not follow those of its channels; fold before quantising'
}

/** Whether a quantised layer's codes are, but for signs, the same with the norm in its weights. */
function keepsCodes(layer: WeightedLayer, norm: BatchNorm): boolean {
  const scaled = layer.clone()
  overwrite(scaled.latentWeight('weight'), folded(layer, norm).weight)
  const [before, after] = [layer, scaled].map((one) => {
    const { storage, size, quantisation } = noGrad(() => one.effective('weight'))
    if (quantisation === null) return null
    const [values, scales] = [hostValues(storage), hostValues(quantisation.scale.storage)]
    return Int32Array.from(values, (value: number, i: number) => Math.abs(Math.round(value / scales[Math.floor((i * scales.length) / size)])))
  })
  return before !== null && after !== null && before.every((code, i) => code === after[i])
}

/** A layer's parameters with its norm in them. */
function folded(layer: WeightedLayer, norm: BatchNorm): { weight: Float64Array; bias: Float64Array } {
  const { eps } = norm.options
  const values = (name: 'weight' | 'bias'): ArrayLike<number> | null => {
    const parameter = norm.effectiveOrNull(name)
    return parameter && hostValues(parameter.storage)
  }
  const [gamma, beta] = [values('weight'), values('bias')]
  const [mean, variance] = [norm.running_mean, norm.running_var].map((buffer) => hostValues(buffer!.storage))
  const factor = Float64Array.from(variance, (value, i) => (gamma?.[i] ?? 1) / Math.sqrt(value + eps))
  const before = layer.effectiveOrNull('bias')
  const offsets = before && hostValues(before.storage)
  const latent = layer.latentWeight('weight')
  const fanIn = latent.size / (factor.length || 1)
  return {
    weight: Float64Array.from(hostValues(latent.storage), (value, i) => value * factor[Math.floor(i / fanIn)]),
    bias: factor.map((value, i) => value * ((offsets?.[i] ?? 0) - mean[i]) + (beta?.[i] ?? 0)),
  }
}

/** Writes new parameters into a layer; one without bias gets one. */
function put(layer: WeightedLayer, { weight, bias }: { weight: Float64Array; bias: Float64Array }): void {
  const latent = layer.latentWeight('weight')
  overwrite(latent, weight)
  // What a mask took from a filter its offset may give back.
  if (layer.effectiveOrNull('bias') === null) layer.registerParameter('bias', new Parameter(empty([bias.length], latent.dtype, latent.device)))
  else if (maskOf(layer, 'bias') !== null) removeMask(layer, 'bias')
  overwrite(layer.latentWeight('bias'), bias)
}
