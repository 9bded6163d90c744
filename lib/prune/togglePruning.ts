import { ensure, wholeNumber } from '../native/index.js'
import { fanInMask, type MaskGradient, type Module, maskedGradient, maskOf, removeMask, setMask } from '../nn/index.js'
import { hostValues } from '../tensor/index.js'

export interface TogglePruningOptions {
  /** Inputs each neuron may keep, ≥ 0: those of the largest |weight|. Needed to enable. */
  active?: number
  /** How gradients pass the mask. Default: masked weights receive none. */
  gradient?: MaskGradient
  /** Which modules, by dotted name; default: every one with a weight of two or more dimensions. */
  only?: (name: string, module: Module) => boolean
}

/** What became of one layer. */
export interface ToggledLayer {
  readonly name: string
  /** Inputs of a neuron. */
  readonly fanIn: number
  /** The most inputs any of its neurons uses now. */
  readonly maxActive: number
  /** Share of its weights that are masked, 0 to 1. */
  readonly sparsity: number
}

export interface ToggleReport {
  readonly layers: readonly ToggledLayer[]
  /** False where the call left every mask as it was: nothing to prune, or nothing pruned. */
  readonly changed: boolean
  /** What happened, in a sentence. */
  readonly message: string
}

const isPrunable = (module: Module): boolean => 'weight' in module && module.latentName('weight') in module && module.latentWeight('weight').rank >= 2

/**
 * Limits every neuron of a model to its `active` strongest inputs, or lifts the limit: each of its
 * weight tensors [out, …] gets a mask that keeps the `active` largest |w| of every row.
 *
 * Calling it again while enabled draws the masks anew from the weights as they now are; with a
 * straight-through gradient weights may then return. Disabling writes the zeros into the weights, which
 * are ordinary ones from then on. A limit that no layer reaches changes nothing: the report says so,
 * and a warning is emitted.
 *
 * What the TinyCNN of Concrete ML's examples does by hand with `toggle_pruning`, except that there the
 * cap holds on average over a layer's neurons, here for every one of them.
 *
 * @throws EspalierError INVALID_ARGUMENT for a limit that is not a whole number ≥ 0, or a model
 *   without a weight to prune
 * @example
 * ```ts
 * import { nn, prune } from 'espalier'
 * const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.Flatten(), new nn.Linear(288, 10))
 * const report = prune.togglePruning(model, true, { active: 12 })
 * report.message // "1 of 2 layers pruned to at most 12 active inputs a neuron"
 * prune.togglePruning(model, false)
 * ```
 */
export function togglePruning(
  model: Module,
  enable: boolean,
  { active, gradient = maskedGradient, only = () => true }: TogglePruningOptions = {},
): ToggleReport {
  const layers = [...model.namedModules()].filter(([name, module]) => isPrunable(module) && only(name, module))
  ensure(layers.length > 0, 'INVALID_ARGUMENT', () => `togglePruning: the model has no layer to prune`)
  if (!enable) return lift(layers)
  const limit = wholeNumber('togglePruning: active', active)
  const long = layers.filter(([, module]) => fanInOf(module) > limit)
  const released = layers.filter(([, module]) => fanInOf(module) <= limit && maskOf(module, 'weight') !== null)
  for (const [, module] of long) setMask(module, 'weight', fanInMask(module.latentWeight('weight'), limit), { gradient })
  for (const [, module] of released) removeMask(module, 'weight', { keep: 'latent' })

  const message =
    long.length > 0
      ? `${long.length} of ${layers.length} layers pruned to at most ${limit} active inputs a neuron`
      : `nothing pruned: active is ${limit}, and no neuron has more than ${Math.max(...layers.map(([, module]) => fanInOf(module)))} inputs`
  const changed = long.length + released.length > 0
  if (!changed) process.emitWarning(`togglePruning: ${message}`, { code: 'ESPALIER_NO_OP' })
  return { layers: layers.map(describeLayer), changed, message }
}

function lift(layers: readonly [string, Module][]): ToggleReport {
  const masked = layers.filter(([, module]) => maskOf(module, 'weight') !== null)
  for (const [, module] of masked) removeMask(module, 'weight')
  const message = masked.length > 0 ? `the masks of ${masked.length} layers lifted` : 'nothing lifted: no layer was pruned'
  return { layers: layers.map(describeLayer), changed: masked.length > 0, message }
}

function fanInOf(module: Module): number {
  const { shape, size } = module.latentWeight('weight')
  return shape[0] === 0 ? 0 : size / shape[0]
}

function describeLayer([name, module]: [string, Module]): ToggledLayer {
  const weight = module.latentWeight('weight')
  const mask = maskOf(module, 'weight')
  const fanIn = fanInOf(module)
  const rows = weight.shape[0]
  const values = mask && hostValues(mask.storage)
  const active = Array.from({ length: rows }, (_, row) =>
    values === null ? fanIn : values.subarray(row * fanIn, (row + 1) * fanIn).filter((kept) => kept !== 0).length,
  )
  const total = active.reduce((sum, count) => sum + count, 0)
  return { name, fanIn, maxActive: Math.max(0, ...active), sparsity: weight.size === 0 ? 0 : 1 - total / weight.size }
}
