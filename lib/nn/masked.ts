// Which kernels a masked layer runs on, chosen in every forward pass.
import { gradEnabled, tracing } from '../autograd/index.js'
import type { Costs } from '../kernels/sparseMatrix.js'
import { cudaOn } from '../native/index.js'
import { kept } from '../ops/index.js'
import { type KeptEntries, keptAlone, type Tensor } from '../tensor/index.js'
import { internals } from './internals.js'
import { MaskTransform, maskedGradient } from './mask.js'
import { type KernelChoice, MaskPlan, type Prepared, plans } from './maskPlan.js'
import type { Module } from './module.js'

/** What a kind of layer makes of a mask. */
export interface MaskedWay<L extends Module, P extends Prepared> {
  /** Why it is not known what its sparse kernels take on a GPU, so that it has them only when asked; null where it is. */
  untimedOnGpu(layer: L): string | null
  /** Whether x is an input of the layer at all: what is wrong with another, the dense product says. */
  takes(layer: L, x: Tensor): boolean
  /** Multiply-adds of the dense product, at most. */
  work(layer: L, x: Tensor): number
  /** For a mask of zeros and so many ones. */
  prepare(layer: L, mask: Tensor, count: number): P
  /** Of the products of a batch. */
  costs(layer: L, prepared: P, x: Tensor): Costs
  kernel(prepared: P, x: Tensor): string
  /** By the kept values alone. On the CPU. */
  byValues(layer: L, x: Tensor, values: Tensor, prepared: P, bias: Tensor | null): Tensor
  /** By the whole weight, whose gradient is that of a dense product, or with `ofKept` 0 where nothing is kept. */
  byWeight(layer: L, x: Tensor, weight: Tensor, prepared: P, bias: Tensor | null, ofKept: boolean): Tensor
}

// The sparse way must be expected to be that much faster: the model only ranks.
const margin = 1.25
// Nanoseconds of what a sparse pass and its gradients take in JavaScript beyond dense ones.
const callTime = 10_000

/** What is known of a kind of processor beside the costs of products. */
interface Place {
  /** Masks that keep more are not looked at: nothing is prepared to know what it would cost. */
  readonly densest: number
  /** Multiply-adds of a dense product with which nothing can be gained. */
  readonly fewest: number
  /** Nanoseconds an entry of a weight's product with its mask, or its gradient's. */
  readonly maskTime: number
}
// One core of a Zen 4 (a Zen 3 takes 0.17 a mask's entry while masks stay in its caches, 0.6 otherwise). With fewer products
// a call takes hardly longer than being called.
const host: Place = { densest: 0.6, fewest: 100_000, maskTime: 0.25 }
// An H200. With a fifth kept the gradients took longer than dense ones (by the kernels of commit 167ef16; those since take
// less, see lib/kernels/patternCosts.ts); with fewer products what is saved, masking included, is less than what a sparse
// call takes beyond a dense one. Masking reads and writes 12 bytes, at 4.2 TB/s.
const gpu: Place = { densest: 0.25, fewest: 4_000_000, maskTime: 12 / 4200 }

/** What a masked layer ran on in its latest forward pass; null where that was no question. */
export const latestChoice = (layer: Module): KernelChoice | null => plans.get(layer)?.latest ?? null

/** A weight and a bias as a product takes them. */
export interface Operands {
  readonly weight: Tensor
  readonly bias: Tensor | null
}

/**
 * A layer's product where its weight is masked and sparse kernels are the faster (or asked for); null where the dense
 * one is to be taken. By the layer's effective weight and bias, or those it has made of them: with 0 where that is 0.
 */
export function maskedProduct<L extends Module, P extends Prepared>(layer: L, x: Tensor, way: MaskedWay<L, P>, made?: Operands): Tensor | null {
  const transforms = layer.weightTransforms('weight')
  if (transforms.length === 0 || tracing()) return null
  const mask = transforms.find((one): one is MaskTransform => one instanceof MaskTransform)
  if (mask === undefined || !way.takes(layer, x)) return null
  const latent = layer.latentWeight('weight')
  let plan = plans.get(layer) as MaskPlan<P> | undefined
  if (plan?.latent !== latent || plan.device !== latent.device) {
    plan?.forget()
    plan = new MaskPlan<P>(latent)
    plans.set(layer, plan as unknown as MaskPlan<Prepared>)
  }
  // Nothing but the mask stands on the weight's way, and masked weights learn nothing: the kept ones can stand alone.
  const alone = made === undefined && transforms.length === 1 && mask.gradient === maskedGradient
  const choice = chosen(layer, x, mask, plan, way, alone)
  plan.latest = choice
  if (choice.runs === 'dense') return null
  const prepared = plan.prepared((...of) => way.prepare(layer, ...of))
  const bias = made === undefined ? layer.effectiveOrNull('bias') : made.bias
  if (!alone || choice.weightGradient === 'all') return way.byWeight(layer, x, made?.weight ?? layer.effective('weight'), prepared, bias, false)
  if (plan.device !== 'cpu') return way.byWeight(layer, x, latent, prepared, bias, true)
  const entries = plan.entries as KeptEntries
  keptAlone(latent, entries)
  return way.byValues(layer, x, kept(latent, entries), prepared, bias)
}

function chosen<L extends Module, P extends Prepared>(
  layer: L,
  x: Tensor,
  transform: MaskTransform,
  plan: MaskPlan<P>,
  way: MaskedWay<L, P>,
  alone: boolean,
): KernelChoice {
  const { latent, device } = plan
  const place = device === 'cpu' ? host : gpu
  const wanted = layer[internals].maskedKernels
  if (wanted === 'dense') return refused.asked
  const mask = transform.mask(layer)
  if (x.device !== device || mask.device !== device) return refused.devices
  if (latent.size === 0 || x.size === 0) return refused.empty
  const unfit = device === 'cpu' ? null : unfitForGpu(layer, x, latent, way)
  if (unfit !== null) return unfit
  if (latent.dtype !== 'float32' || x.dtype !== 'float32') return refused.dtype
  const other = layer.weightTransforms('weight').find((one) => one !== transform && !one.keepsZeros)
  if (other !== undefined) return dense(`behind its mask may change zeros: the ${other.kind}`)
  plan.see(mask)
  if (plan.count < 0) return refused.values
  const density = plan.count / latent.size
  const trains = gradEnabled() && latent.requiresGrad
  const dataGradient = gradEnabled() && x.requiresGrad
  const key = `${x.shape.join()} ${trains} ${dataGradient} ${alone} ${wanted}`
  const known = plan.choices.get(key)
  if (known !== undefined) return known
  if (wanted === 'auto') {
    if (way.work(layer, x) < place.fewest) return plan.settle(key, dense(tooSmall, density), null)
    if (density > place.densest) return plan.settle(key, tooDense(place, density), null)
    const waits = plan.waits
    // (Not kept: the next pass may be the one.)
    if (waits !== null) return dense(`masks change too often: one must last ${waits} passes to pay for its kernels`, density)
  }
  const prepared = plan.prepared((...of) => way.prepare(layer, ...of))
  const masking = place.maskTime * latent.size * (trains ? 2 : 1)
  const pass = { masking, trains, dataGradient, alone, asked: wanted === 'sparse' }
  if (device !== 'cpu' && way.untimedOnGpu(layer) !== null) return plan.settle(key, untimed(pass, density, way.kernel(prepared, x)), null)
  const times = expected(way.costs(layer, prepared, x), pass)
  return plan.settle(key, ranked(times, pass, density, way.kernel(prepared, x)), times.dense - times.sparse)
}

/** What is weighed for a layer on a GPU. */
export type Weighed<L extends Module, P extends Prepared> = Pick<MaskedWay<L, P>, 'untimedOnGpu' | 'work' | 'costs' | 'kernel'>

/**
 * How a layer on a GPU that holds its kept weights alone multiplies, this share of all: by these, or by a dense weight that
 * is made of them in each pass.
 */
export function chosenForKept<L extends Module, P extends Prepared>(layer: L, x: Tensor, density: number, prepared: P, way: Weighed<L, P>): KernelChoice {
  const wanted = layer[internals].maskedKernels
  const weight = layer.latentWeight('weight')
  const unfit = wanted === 'dense' ? refused.asked : unfitForGpu(layer, x, weight, way)
  if (unfit !== null) return { ...unfit, density }
  if (wanted === 'auto' && density > gpu.densest) return tooDense(gpu, density)
  const [trains, dataGradient] = [weight, x].map(({ requiresGrad }) => gradEnabled() && requiresGrad)
  const pass = { masking: 0, trains, dataGradient, alone: true, asked: wanted === 'sparse' }
  if (way.untimedOnGpu(layer) !== null) return untimed(pass, density, way.kernel(prepared, x))
  // (Whatever it costs, a sparse pass makes the gradient of the kept ones.)
  return ranked(expected(way.costs(layer, prepared, x), { ...pass, asked: true }), pass, density, way.kernel(prepared, x))
}

/** What is taken where either way is expected to take so long. */
function ranked({ dense: slow, sparse: fast, weightGradient }: Times, { trains, asked }: Pass, density: number, kernel: string): KernelChoice {
  const facts = { density, dense: slow, sparse: fast }
  const reason = fast < slow ? 'sparse kernels are hardly faster for this batch' : 'the dense product is the faster for this batch'
  if (!asked && fast * margin >= slow) return { runs: 'dense', reason, ...facts }
  const why = asked ? 'asked for' : `${(slow / fast).toFixed(1)} times as fast`
  return { runs: 'sparse', reason: why, kernel, ...(trains ? { weightGradient } : {}), ...facts }
}

/** What is asked for where nothing says how long it takes. */
const untimed = ({ trains, alone }: Pass, density: number, kernel: string): KernelChoice => ({
  runs: 'sparse',
  reason: 'asked for',
  kernel,
  ...(trains ? { weightGradient: alone ? 'kept' : 'all' } : {}),
  density,
})

/** Why a layer on a GPU multiplies densely, whatever its mask: a look at that waits for the device. */
function unfitForGpu<L extends Module, P extends Prepared>(layer: L, x: Tensor, latent: Tensor, way: Weighed<L, P>): KernelChoice | null {
  if (latent.dtype !== 'float32' || x.dtype !== 'float32') return refused.dtypeOnGpu
  if (layer[internals].maskedKernels === 'sparse') return null
  const without = way.untimedOnGpu(layer)
  if (without !== null) return dense(without)
  const { precision } = cudaOn(latent.device)
  if (precision !== 'float32') return dense(`no figures compare sparse products with dense ones rounded to ${precision}`)
  return way.work(layer, x) < gpu.fewest ? refused.small : null
}

interface Pass {
  /** Nanoseconds of the weight's product with its mask, and its gradient's. */
  readonly masking: number
  readonly trains: boolean
  readonly dataGradient: boolean
  readonly alone: boolean
  /** Whether sparse kernels are asked for, wherever that can be done. */
  readonly asked: boolean
}

/** Nanoseconds of a pass and its gradients, either way, and how the weight's is made in a sparse one. */
interface Times {
  readonly dense: number
  readonly sparse: number
  readonly weightGradient: 'kept' | 'all'
}

function expected({ sparse, dense }: Costs, { masking, trains, dataGradient, alone, asked }: Pass): Times {
  const sum = ([forward, data]: Float64Array): number => forward + (dataGradient ? data : 0)
  const slow = sum(dense) + (trains ? dense[2] : 0) + masking
  const [ofKept, ofAll] = [trains ? sparse[2] : 0, masking + (trains ? dense[2] : 0)]
  const weightGradient = alone && (asked || ofKept <= ofAll) ? 'kept' : 'all'
  return { dense: slow, sparse: sum(sparse) + callTime + (weightGradient === 'kept' ? ofKept : ofAll), weightGradient }
}

const dense = (reason: string, density?: number): KernelChoice => ({ runs: 'dense', reason, ...(density === undefined ? {} : { density }) })

const tooDense = ({ densest }: Place, density: number): KernelChoice => dense(`it keeps more than ${densest * 100}%`, density)

const tooSmall = 'so small a product has nothing to gain'
const refused = {
  asked: dense('asked for'),
  devices: dense('the input or the mask is on another device'),
  dtype: dense('only float32 has sparse kernels'),
  dtypeOnGpu: dense('on a GPU masked layers and sparse convolutions have sparse kernels for float32 alone'),
  empty: dense('there is nothing to multiply'),
  small: dense(tooSmall),
  values: dense('the mask holds values other than 0 and 1'),
}
