// Which kernels a masked layer runs on, chosen in every forward pass.
import { gradEnabled, isTraced } from '../autograd/index.js'
import type { Costs } from '../kernels/sparseMatrix.js'
import { native } from '../native/index.js'
import { kept } from '../ops/index.js'
import { type KeptEntries, keptAlone, sameShape, type Tensor } from '../tensor/index.js'
import { internals } from './internals.js'
import { MaskTransform, maskedGradient } from './mask.js'
import type { Module } from './module.js'
import { written } from './state.js'

/** What a layer ran on in its latest forward pass, and why. Times are nanoseconds, of the model that chose. */
export interface KernelChoice {
  readonly runs: 'dense' | 'sparse'
  readonly reason: string
  /** What multiplies, where it is sparse: the format of a matrix, 'stencil' for a convolution. */
  readonly kernel?: string
  /** How the weight's gradient is made: of the kept weights alone, or of all. Absent where there is none. */
  readonly weightGradient?: 'kept' | 'all'
  /** The share of weights that the mask keeps. */
  readonly density?: number
  /** What one pass, with the gradients it needs, is expected to take. */
  readonly dense?: number
  readonly sparse?: number
}

/** What is prepared for a mask: a matrix, a convolution. */
interface Prepared {
  readonly count: number
  readonly places: Int32Array
  retire(): void
}

/** What a kind of layer makes of a mask. */
export interface MaskedWay<L extends Module, P extends Prepared> {
  /** Whether x is an input of the layer at all: what is wrong with another, the dense product says. */
  takes(layer: L, x: Tensor): boolean
  /** Multiply-adds of the dense product, at most. */
  work(layer: L, x: Tensor): number
  prepare(layer: L, mask: Tensor): P
  /** Of the products of a batch. */
  costs(layer: L, prepared: P, x: Tensor): Costs
  kernel(prepared: P, x: Tensor): string
  /** By the kept values alone. */
  byValues(layer: L, x: Tensor, values: Tensor, prepared: P, bias: Tensor | null): Tensor
  /** By the whole weight, whose gradient is that of a dense product. */
  byWeight(layer: L, x: Tensor, weight: Tensor, prepared: P, bias: Tensor | null): Tensor
}

// Masks that keep more are not looked at: nothing is prepared to know what it would cost.
const densest = 0.6
// The sparse way must be expected to be that much faster: the model only ranks.
const margin = 1.25
// Nanoseconds, on one core of a Zen 4: a weight's product with its mask, or with that of its gradient; a look whether
// the mask is the one prepared for, an entry; bringing a kept weight to where it stands alone; what a pass of few
// weights takes in JavaScript beyond a dense one.
const [maskTime, checkTime, gatherTime, callTime] = [0.25, 0.05, 0.5, 10_000]
// Preparing kernels for a mask and its gradients: for an entry, and a kept one.
const [entryTime, keptTime] = [1, 75]
// A mask under which sparse kernels do not pay must last that many passes before it is tried with its successor.
const trialPasses = 50
// Multiply-adds of a dense product that takes hardly longer than being called.
const fewest = 100_000
const mostChoices = 64

/** What is known of a layer's mask. */
class Plan<P extends Prepared> {
  constructor(readonly latent: Tensor) {}

  #kept = new Uint8Array(0)
  #passes = 0
  // How long the mask before this one lasted, and how long one must last for its preparation to pay.
  #life = Infinity
  #needed = 0
  #made: P | null = null
  readonly choices = new Map<string, KernelChoice>()
  latest: KernelChoice | null = null
  entries: KeptEntries | null = null
  /** −1 where the mask is not of zeros and ones. */
  count = 0

  /** Looks whether the mask is what it was in the last pass. */
  see(mask: Tensor): void {
    const overwritten = written.delete(mask)
    if (this.entries?.mask !== mask || this.count < 0 || ((mask.shown || overwritten) && native.keepsSame(mask.storage, this.#kept) === 0)) this.#change(mask)
    this.#passes++
  }

  #change(mask: Tensor): void {
    const same = this.entries !== null && sameShape(this.entries.shape, mask.shape) && this.count >= 0 && native.keepsSame(mask.storage, this.#kept) === 1
    if (same) {
      this.entries = { ...(this.entries as KeptEntries), mask }
      return
    }
    if (this.entries !== null) this.#life = this.#passes
    this.#passes = 0
    this.#made?.retire()
    this.#made = null
    this.choices.clear()
    this.count = native.countOnes(mask.storage)
    this.#kept = this.count < 0 ? new Uint8Array(0) : Uint8Array.from(mask.storage as Float32Array)
    this.entries = { shape: mask.shape, mask, positions: new Int32Array(0) }
  }

  /** Whether masks last long enough for preparing kernels; where not, how long this one would have to. */
  get waits(): number | null {
    return this.#made !== null || this.#life >= this.#needed || this.#passes > this.#needed ? null : this.#needed
  }

  /** What is prepared for this mask. */
  prepared(prepare: (mask: Tensor) => P): P {
    if (this.#made === null) {
      const { mask, shape } = this.entries as KeptEntries
      this.#made = prepare(mask)
      this.entries = { shape, mask, positions: shared(this.latent, this.#made.places) }
    }
    return this.#made
  }

  /** Keeps a choice, and what it says of how long a mask must last. */
  settle(key: string, choice: KernelChoice, saved: number | null): KernelChoice {
    // (Batches of ever other sizes would pile up.)
    if (this.choices.size >= mostChoices) this.choices.clear()
    this.choices.set(key, choice)
    if (saved !== null) this.#needed = saved > 0 ? Math.ceil((100_000 + entryTime * this.#kept.length + keptTime * this.count) / saved) : trialPasses
    return choice
  }
}

// Layers that share a parameter and keep the same of it share the list, so that their gradients add up as they are.
const lists = new WeakMap<Tensor, Int32Array>()

function shared(latent: Tensor, positions: Int32Array): Int32Array {
  const present = lists.get(latent)
  if (present !== undefined && Buffer.from(present.buffer).equals(Buffer.from(positions.buffer))) return present
  lists.set(latent, positions)
  return positions
}

const plans = new WeakMap<Module, Plan<Prepared>>()

/** What a masked layer ran on in its latest forward pass; null where that was no question. */
export const latestChoice = (layer: Module): KernelChoice | null => plans.get(layer)?.latest ?? null

/**
 * A layer's product where its weight is masked and sparse kernels are the faster (or asked for); null where the dense
 * one is to be taken.
 */
export function maskedProduct<L extends Module, P extends Prepared>(layer: L, x: Tensor, way: MaskedWay<L, P>): Tensor | null {
  const transforms = layer.weightTransforms('weight')
  if (transforms.length === 0 || isTraced()) return null
  const mask = transforms.find((one): one is MaskTransform => one instanceof MaskTransform)
  if (mask === undefined || !way.takes(layer, x)) return null
  let plan = plans.get(layer) as Plan<P> | undefined
  if (plan === undefined || plan.latent !== layer.latentWeight('weight')) {
    plan = new Plan<P>(layer.latentWeight('weight'))
    plans.set(layer, plan as unknown as Plan<Prepared>)
  }
  // Nothing but the mask stands on the weight's way, and masked weights learn nothing: the kept ones can stand alone.
  const alone = transforms.length === 1 && mask.gradient === maskedGradient
  const choice = chosen(layer, x, mask, plan, way, alone)
  plan.latest = choice
  if (choice.runs === 'dense') return null
  const prepared = plan.prepared((mask) => way.prepare(layer, mask))
  const bias = layer.effectiveOrNull('bias')
  if (!alone || choice.weightGradient === 'all') return way.byWeight(layer, x, layer.effective('weight'), prepared, bias)
  const [latent, entries] = [layer.latentWeight('weight'), plan.entries as KeptEntries]
  keptAlone(latent, entries)
  return way.byValues(layer, x, kept(latent, entries), prepared, bias)
}

function chosen<L extends Module, P extends Prepared>(
  layer: L,
  x: Tensor,
  transform: MaskTransform,
  plan: Plan<P>,
  way: MaskedWay<L, P>,
  alone: boolean,
): KernelChoice {
  const wanted = layer[internals].maskedKernels
  if (wanted === 'dense') return refused.asked
  const latent = layer.latentWeight('weight')
  if (latent.device !== 'cpu' || x.device !== 'cpu') return refused.device
  if (latent.dtype !== 'float32' || x.dtype !== 'float32') return refused.dtype
  if (latent.size === 0 || x.size === 0) return refused.empty
  const other = layer.weightTransforms('weight').find((one) => one !== transform && !one.keepsZeros)
  if (other !== undefined) return dense(`a ${other.kind} stands on the weight's way that may not leave zeros as they are`)
  plan.see(transform.mask(layer))
  if (plan.count < 0) return refused.values
  const density = plan.count / latent.size
  const trains = gradEnabled() && latent.requiresGrad
  const dataGradient = gradEnabled() && x.requiresGrad
  const key = `${x.shape.join()} ${trains} ${dataGradient} ${alone} ${wanted}`
  const known = plan.choices.get(key)
  if (known !== undefined) return known
  if (wanted === 'auto') {
    if (way.work(layer, x) < fewest) return plan.settle(key, dense('so small a product has nothing to gain', density), null)
    if (density > densest) return plan.settle(key, dense(`it keeps more than ${densest * 100}%`, density), null)
    const waits = plan.waits
    // (Not kept: the next pass may be the one.)
    if (waits !== null) return dense(`masks change too often: one must last ${waits} passes to pay for its kernels`, density)
  }
  const prepared = plan.prepared((mask) => way.prepare(layer, mask))
  const times = expected(way.costs(layer, prepared, x), { size: latent.size, kept: plan.count, trains, dataGradient, alone, asked: wanted === 'sparse' })
  const { dense: slow, sparse: fast } = times
  const pays = fast * margin < slow
  const facts = { density, dense: slow, sparse: fast }
  const choice: KernelChoice =
    wanted === 'auto' && !pays
      ? { runs: 'dense', reason: fast < slow ? 'sparse kernels are hardly faster for this batch' : 'the dense product is the faster for this batch', ...facts }
      : {
          runs: 'sparse',
          reason: wanted === 'sparse' ? 'asked for' : `${(slow / fast).toFixed(1)} times as fast`,
          kernel: way.kernel(prepared, x),
          ...(trains ? { weightGradient: times.weightGradient } : {}),
          ...facts,
        }
  return plan.settle(key, choice, slow - fast)
}

interface Pass {
  readonly size: number
  readonly kept: number
  readonly trains: boolean
  readonly dataGradient: boolean
  readonly alone: boolean
  /** Whether sparse kernels are asked for, wherever that can be done. */
  readonly asked: boolean
}

/** Nanoseconds of a pass and its gradients, either way. */
function expected(
  { sparse, dense }: Costs,
  { size, kept, trains, dataGradient, alone, asked }: Pass,
): { dense: number; sparse: number; weightGradient: 'kept' | 'all' } {
  const sum = ([forward, data]: Float64Array): number => forward + (dataGradient ? data : 0)
  const masking = maskTime * size * (trains ? 2 : 1)
  const slow = sum(dense) + (trains ? dense[2] : 0) + masking
  const both = sum(sparse) + callTime + checkTime * size + gatherTime * kept
  const [ofKept, ofAll] = [trains ? sparse[2] + gatherTime * kept : 0, masking + (trains ? dense[2] : 0)]
  const weightGradient = alone && (asked || ofKept <= ofAll) ? 'kept' : 'all'
  return { dense: slow, sparse: both + (weightGradient === 'kept' ? ofKept : ofAll), weightGradient }
}

const dense = (reason: string, density?: number): KernelChoice => ({ runs: 'dense', reason, ...(density === undefined ? {} : { density }) })

const refused = {
  asked: dense('asked for'),
  device: dense('the layer is on a GPU'),
  dtype: dense('only float32 has sparse kernels'),
  empty: dense('there is nothing to multiply'),
  values: dense('the mask holds values other than 0 and 1'),
}
