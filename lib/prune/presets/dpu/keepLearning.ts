import { gradEnabled } from '../../../autograd/index.js'
import { ensure, type NativeArray } from '../../../native/index.js'
import {
  BatchNorm1d,
  BatchNorm2d,
  ConvTranspose2d,
  type ForwardHook,
  type ForwardPreHook,
  type Module,
  maskOf,
  type Removal,
  removeMask,
  setMasks,
} from '../../../nn/index.js'
import { add, mul } from '../../../ops/index.js'
import { empty, full, type Tensor } from '../../../tensor/index.js'
import { straightThrough } from '../../gradients/straightThrough.js'
import { slice } from '../../structures/slice.js'

/**
 * What fallen filters emit while they learn. They compute 0, where the derivative of a ReLU is 0: they would
 * learn nothing any more and never come back. With the least bit more their gradient is that of a ReLU
 * whose derivative at 0 is 1, and the first sum this enters does not see it (the 10⁻⁶ that the original adds
 * to every output, it does). In evaluation nothing is added.
 */
const whisper = 2 ** -100

type BatchNorm = BatchNorm1d | BatchNorm2d

/** Where a batch norm's input came from. */
interface Maker {
  /** What the layer computed, before the whisper. */
  readonly computed: Tensor
  /** For each channel 1 where the filter fell; null: none did. */
  readonly fallen: NativeArray | null
}

/**
 * Lets fallen filters of these layers go on learning, and takes along the batch norms that follow a layer. A channel
 * that fell is then off behind the batch norm too: γ and β are masked, else it would emit β. Its running
 * statistics stay those of the time when it stood, and the gradient passes to the filter as if they
 * normalised it; the batch norm's own backward, at a channel that is constant, would multiply by 1/√ε.
 *
 * Which batch norm follows a layer is seen in each forward pass.
 */
export function keepLearning(model: Module, layers: readonly Module[]): Removal {
  const makers = new WeakMap<Tensor, Maker>()
  const statistics = new WeakMap<Module, Tensor[]>()

  const afterLayer: ForwardHook = (layer, _, computed) => {
    const fallen = fallenFilters(layer)
    const output = fallen !== null && layer.training && gradEnabled() ? whispered(computed, channelsOf(layer, computed), fallen) : computed
    makers.set(output, { computed, fallen })
    return output
  }

  const beforeNorm: ForwardPreHook = (module, [input]) => {
    const norm = module as BatchNorm
    const maker = makers.get(input)
    if (maker === undefined) return undefined
    maskNorm(norm, maker.fallen)
    if (maker.fallen === null) return undefined
    const before = statisticsOf(norm).map((running) => running.copy())
    statistics.set(norm, before)
    return undefined
  }

  const afterNorm: ForwardHook = (module, [input], output) => {
    const { computed, fallen } = makers.get(input) ?? {}
    if (computed === undefined || fallen == null || !module.training) return undefined
    const norm = module as BatchNorm
    for (const [s, running] of statisticsOf(norm).entries())
      for (let i = 0; i < fallen.length; i++) if (fallen[i] === 1) running.data[i] = statistics.get(norm)![s].data[i]
    if (!gradEnabled()) return undefined
    const [scale, variance] = [norm.latentWeight('weight').data, norm.running_var?.data]
    const passing = along(1, output, (i) => (fallen[i] * scale[i]) / Math.sqrt((variance?.[i] ?? 1) + norm.options.eps))
    // Fallen channels compute 0: the product adds nothing but its gradient.
    return whispered(add(output, mul(computed, passing)), 1, fallen)
  }

  const norms = [...model.modules()].filter((module): module is BatchNorm => module instanceof BatchNorm1d || module instanceof BatchNorm2d)
  // Masks of ones at first: the names in the model's state are then the same from beginning to end.
  for (const norm of norms.filter(isAffine)) maskNorm(norm, new Float32Array(norm.numFeatures))
  const hooks = [
    ...layers.map((layer) => layer.registerForwardHook(afterLayer)),
    ...norms.flatMap((norm) => [norm.registerForwardPreHook(beforeNorm), norm.registerForwardHook(afterNorm)]),
  ]
  return {
    remove() {
      for (const hook of hooks) hook.remove()
      for (const norm of norms.filter(isAffine)) for (const name of affine) if (maskOf(norm, name) !== null) removeMask(norm, name)
    },
  }
}

const affine = ['weight', 'bias'] as const
const isAffine = (norm: BatchNorm): boolean => norm.options.affine
const statisticsOf = ({ running_mean, running_var }: BatchNorm): Tensor[] => (running_mean === null || running_var === null ? [] : [running_mean, running_var])

/** For each filter 1 where its mask is all 0; null where none is. */
function fallenFilters(layer: Module): NativeArray | null {
  const mask = maskOf(layer, 'weight')
  if (mask === null) return null
  const fallen = slice(layer instanceof ConvTranspose2d ? 1 : 0).open(mask)
  for (let i = 0; i < fallen.length; i++) fallen[i] = 1 - fallen[i]
  return fallen.includes(1) ? fallen : null
}

/** γ and β fall and return with their filters. */
function maskNorm(norm: BatchNorm, fallen: NativeArray | null): void {
  ensure(isAffine(norm) || fallen === null, 'STATE', () => `Dpu: the ${norm} after a pruned layer has no γ and β to switch a channel off`)
  if (!isAffine(norm)) return
  const before = maskOf(norm, 'weight')
  if (before?.data.every((stands: number, i: number) => stands === 1 - (fallen?.[i] ?? 0))) return
  const mask = full([norm.numFeatures], 1, { dtype: norm.latentWeight('weight').dtype })
  for (let i = 0; i < mask.size; i++) mask.data[i] -= fallen?.[i] ?? 0
  setMasks(affine.map((name) => ({ module: norm, name, mask, gradient: straightThrough })))
}

/** The dimension of a layer's output that counts its filters: the last of a linear layer's, else that behind the batch. */
const channelsOf = (layer: Module, { rank }: Tensor): number => (layer.latentWeight('weight').rank === 2 ? rank - 1 : 1)

/** An output whose fallen channels, which are 0, whisper. */
const whispered = (output: Tensor, dim: number, fallen: NativeArray): Tensor =>
  add(
    output,
    along(dim, output, (i) => fallen[i] * whisper),
  )

/** One value a channel, in a shape that goes with `like`. */
function along(dim: number, like: Tensor, value: (channel: number) => number): Tensor {
  const values = empty([like.shape[dim], ...like.shape.slice(dim + 1).fill(1)], like.dtype)
  for (let i = 0; i < values.size; i++) values.data[i] = value(i)
  return values
}
