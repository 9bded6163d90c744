import { noGrad } from '../autograd/index.js'
import { maskOf, stages } from '../nn/index.js'
import { hostValues, type Tensor } from '../tensor/index.js'
import { entriesLeft, latentBias } from './biasMask.js'
import { type Layer, standingUnits } from './layer.js'

/** What became of one layer. */
export interface PrunedLayer {
  readonly name: string
  /** Name of the structure whose units are counted. */
  readonly structure: string
  readonly units: number
  /** Units that should have fallen by now; null where several layers share an amount, and before the first draw. */
  readonly asked: number | null
  /** Units that have fallen. */
  readonly fallen: number
  readonly weights: number
  /** Weights that count as 0 in the forward pass. */
  readonly zeros: number
  /** zeros / weights. */
  readonly sparsity: number
  /** Filters without any weight left. */
  readonly dead: number
  /** Those of them that still emit a bias. */
  readonly emitting: number
}

/** What a pruner has done so far. */
export interface PruneReport {
  readonly layers: readonly PrunedLayer[]
  /** The layers taken together. */
  readonly total: Omit<PrunedLayer, 'name' | 'structure'>
  /** What a reader should know: layers from which nothing falls, an amount that was not reached, filters that emit their bias. */
  readonly warnings: readonly string[]
  /** What happened, in a sentence. */
  readonly message: string
}

/** Asked and achieved, as the layers stand now. */
export function reportOn(layers: readonly Layer[]): PruneReport {
  const described = layers.map(describeLayer)
  const sum = (of: (layer: PrunedLayer) => number): number => described.reduce((total, layer) => total + of(layer), 0)
  const [weights, zeros] = [sum(({ weights }) => weights), sum(({ zeros }) => zeros)]
  const shares = [...new Set(layers.map(({ share }) => share))]
  const total = {
    units: sum(({ units }) => units),
    asked: shares.reduce<number | null>((asked, share) => (asked === null || share?.asked == null ? null : asked + share.asked), 0),
    fallen: sum(({ fallen }) => fallen),
    weights,
    zeros,
    sparsity: weights === 0 ? 0 : zeros / weights,
    dead: sum(({ dead }) => dead),
    emitting: sum(({ emitting }) => emitting),
  }
  const asked = total.asked === null || total.asked === total.fallen ? '' : `; ${total.asked} of ${total.units} units asked for, ${total.fallen} fallen`
  const warnings = [
    ...layers.flatMap((layer, i) => warningsOn(layer, described[i])),
    ...(total.asked !== null && total.fallen < total.asked ? [`${total.asked} units were asked for, ${total.fallen} have fallen`] : []),
  ]
  const message = `${zeros} of ${weights} weights in ${layers.length} ${layers.length === 1 ? 'layer' : 'layers'} are 0${asked}`
  return { layers: described, total, warnings, message }
}

function describeLayer({ name, module, lies, share }: Layer): PrunedLayer {
  const mask = maskOf(module, 'weight')
  const { shape, size } = module.latentWeight('weight')
  const units = lies.units(shape)
  const standing = mask ?? weightBeforeQuantiser({ module })
  const left = entriesLeft(module, standing)
  const zeros = size - Array.from(left).reduce((sum, entries) => sum + entries, 0)
  const bias = latentBias(module) === null ? null : hostValues(noGrad(() => module.effective('bias')).storage)
  const dead = [...left.keys()].filter((filter) => left[filter] === 0)
  return {
    name,
    structure: lies.name,
    units,
    asked: share?.layers === 1 ? share.asked : null,
    fallen: mask === null ? 0 : lies.entries ? zeros : units - standingUnits(lies, mask),
    weights: size,
    zeros,
    sparsity: size === 0 ? 0 : zeros / size,
    dead: dead.length,
    emitting: bias?.length === left.length ? dead.filter((filter) => bias[filter] !== 0).length : 0,
  }
}

/** What a layer's weight is before it is quantised. */
function weightBeforeQuantiser({ module }: Pick<Layer, 'module'>): Tensor {
  const transforms = module.weightTransforms('weight').filter(({ stage }) => stage < stages.quantiser)
  return noGrad(() => transforms.reduce<Tensor>((weight, transform) => transform.apply(weight, module), module.latentWeight('weight')))
}

function warningsOn({ amount, share }: Layer, { name, structure, units, fallen, dead, emitting }: PrunedLayer): string[] {
  const warnings: string[] = []
  if (share?.layers === 1 && share.asked === 0 && (amount.value ?? 0) > 0 && fallen === 0)
    warnings.push(`${nameOf(name)}: nothing falls; ${amount.name} takes none of its ${units} units (${structure})`)
  if (emitting > 0) warnings.push(`${nameOf(name)}: ${emitting} of ${dead} filters without weights still emit their bias; bias: 'mask' takes it along`)
  return warnings
}

const nameOf = (name: string): string => (name === '' ? 'the layer' : name)
