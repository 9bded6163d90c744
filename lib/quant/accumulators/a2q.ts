import { noGrad } from '../../autograd/index.js'
import { ensure } from '../../native/index.js'
import { type Module, maskOf, Parameter } from '../../nn/index.js'
import { abs, absMax, clamp, div, exp2, log, maximum, mean, minimum, mul, neg, relu, roundToZero, sign, sub, sum } from '../../ops/index.js'
import { assign, empty, hostValues, type Quantisation, type Tensor } from '../../tensor/index.js'
import { codesOf, type IntegerRange, integerRange } from '../range.js'
import { a2qCap, a2qPlusCap } from './caps.js'
import { overwrite, perRow, smallest, within } from './channels.js'
import { Guard, guardOf } from './guard.js'
import { l1Projection } from './l1Projection.js'

// Weights whose L1 norm is learned and capped, so that no input can overflow the accumulator: Colbert
// et al. 2023 (A2Q) and 2024 (A2Q+, the same with the weights centred first). Semantics of Brevitas'
// `Int8AccumulatorAware[ZeroCenter]WeightQuant`.

export type A2QMethod = 'a2q' | 'a2q+'

export interface A2QOptions {
  /** Width P of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** `a2q+` centres the weights of a channel and, under unsigned inputs, affords about twice the norm. */
  accumulator: A2QMethod
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
  /** Largest magnitude of an integer bias inside the accumulator, taken off it. Default 0. */
  bias?: number
  /** Codes of the inputs, where they are known before the layer first runs. */
  input?: IntegerRange
}

// Sums in float32 are off by less than this share: what rounds to a code above must not be one too many.
const slack = 2 ** -19

/**
 * The L1 norm of centred weights, as twice the sum of the side that is larger: both are the same but
 * for rounding, which is all that is left of a channel of equal weights. No side has more than half then.
 */
const twiceLargerSide = (v: Tensor): Tensor => mul(maximum(sum(relu(v), within(v)), sum(relu(neg(v)), within(v))), 2)

/** A weight quantiser whose norm g and scale s are learned, a channel each, as log₂. */
export class A2QQuantiser extends Guard {
  readonly range: IntegerRange
  readonly accumulatorBits: number
  readonly method: A2QMethod
  private readonly bias: number
  /** The mask that the weight has passed; null: none. */
  mask: Tensor | null = null
  /** log₂ of the L1 norm that each channel is to have, and of its scale: [out]. */
  log2G: Parameter
  log2S: Parameter

  /** @param weight [out, …]: what g and s start from */
  constructor(weight: Tensor, { accumulatorBits, accumulator, weightBits = 8, bias = 0, input }: A2QOptions) {
    super()
    this.range = integerRange({ bits: weightBits, signed: true, narrow: true })
    this.accumulatorBits = accumulatorBits
    ensure(accumulator === 'a2q' || accumulator === 'a2q+', 'INVALID_ARGUMENT', () => `accumulator is ${String(accumulator)}, expected 'a2q' or 'a2q+'`)
    this.method = accumulator
    this.bias = bias
    this.input = input ?? null
    // The narrowest inputs have the largest cap: what is refused here no input could make right.
    capOf(this.method, { min: 0, max: 1 }, accumulatorBits, bias)
    this.log2G = new Parameter(empty([weight.shape[0]]))
    this.log2S = new Parameter(empty([weight.shape[0]]))
    this.initialise(weight)
  }

  /** Starts from a weight: g = its channels' L1 norms, s = their max |w| / the largest code. */
  initialise(weight: Tensor): void {
    noGrad(() => {
      const norm = maximum(sum(abs(weight), within(weight)), smallest)
      const largest = maximum(absMax(weight, { perChannel: true }), smallest)
      assign(this.log2G.storage, div(log(norm), Math.LN2).storage)
      assign(this.log2S.storage, div(log(div(largest, this.range.max)), Math.LN2).storage)
    })
  }

  /** The largest L1 norm of a channel's codes. */
  get cap(): number {
    return capOf(this.method, this.knownInput, this.accumulatorBits, this.bias)
  }

  /**
   * s · clamp(roundToZero(v · min(g/s, cap) / ‖v‖₁)), v the weight or, in A2Q+, the weight less its
   * channel's mean. Rounding towards zero never lets a norm grow. The gradient passes straight through
   * the rounding, and through norm and mean; g receives none where the cap takes over.
   */
  override forward(weight: Tensor): Tensor {
    const { min, max } = this.range
    const scale = perRow(exp2(this.log2S), weight)
    const v = this.direction(weight)
    const quantised = mul(clamp(roundToZero(div(v, this.step(v))), min, max), scale)
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
  }

  /** The weight whose norm is capped, v of `forward`. */
  direction(weight: Tensor): Tensor {
    if (this.method === 'a2q') return weight
    if (this.mask === null) return sub(weight, mean(weight, within(weight)))
    // The mean of what the mask lets through: what it does not must stay 0.
    const open = sign(abs(this.mask))
    return mul(sub(weight, div(sum(weight, within(weight)), maximum(sum(open, within(open)), 1))), open)
  }

  /** How far apart codes lie on v, a channel each: ‖v‖₁ / min(g/s, cap). */
  step(v: Tensor): Tensor {
    const length = this.method === 'a2q+' ? twiceLargerSide(v) : sum(abs(v), within(v))
    const norm = minimum(exp2(sub(this.log2G, this.log2S)), this.cap * (1 - slack))
    return div(maximum(length, smallest), perRow(norm, v))
  }

  /**
   * What g lies above the cap, summed over channels: Σ max(0, g − cap·s), or its form in the paper's
   * print, Σ max(0, log₂ g − log₂(cap·s)). Added to the loss with a weight of about 1e-3.
   */
  penalty(form: 'linear' | 'log2' = 'linear'): Tensor {
    const { cap } = this
    const excess = form === 'linear' ? sub(exp2(this.log2G), mul(exp2(this.log2S), cap)) : sub(sub(this.log2G, this.log2S), Math.log2(cap))
    return sum(relu(excess))
  }

  /**
   * Projects each channel of a weight onto the L1 ball of radius s · cap, in place, and brings g down to
   * it: the nearest start that the cap leaves as it is. Colbert et al. 2024, "Euclidean projection-based
   * initialisation". Entries under a `mask` that is 0 have no part in the norm, and stay as they are.
   */
  project(weight: Tensor, mask: Tensor | null = null): void {
    const { cap } = this
    const latent = hostValues(weight.storage)
    const active = mask === null ? null : hostValues(mask.storage)
    const open = (i: number): boolean => active === null || active[i] !== 0
    const values = Float64Array.from(latent, (value, i) => (open(i) ? value : 0))
    const [g, s] = [Float64Array.from(hostValues(this.log2G.storage)), Float64Array.from(hostValues(this.log2S.storage))]
    const fanIn = s.length === 0 ? 0 : values.length / s.length
    for (const [row, exponent] of s.entries()) {
      const radius = 2 ** exponent * cap
      values.set(l1Projection(values.subarray(row * fanIn, (row + 1) * fanIn), radius), row * fanIn)
      g[row] = Math.min(g[row], Math.log2(radius))
    }
    overwrite(
      weight,
      values.map((value, i) => (open(i) ? value : latent[i])),
    )
    overwrite(this.log2G, g)
  }
}

function capOf(method: A2QMethod, input: IntegerRange, accumulatorBits: number, bias: number): number {
  const { bits, signed } = codesOf(input)
  return (method === 'a2q' ? a2qCap : a2qPlusCap)({ accumulatorBits, inputBits: bits, inputSigned: signed, bias })
}

/** Whether a layer's weights are centred under their mask, which has to stay for that: written into the weights it would be forgotten. */
export function centresUnderMask(layer: Module): boolean {
  const guard = guardOf(layer)
  return guard instanceof A2QQuantiser && guard.method === 'a2q+'
}

/** The A2Q quantisers of a model, with the layers they serve. */
const a2qLayers = (model: Module): { layer: Module; quantiser: A2QQuantiser }[] =>
  [...model.modules()].flatMap((layer) => {
    const quantiser = guardOf(layer)
    return quantiser instanceof A2QQuantiser ? { layer, quantiser } : []
  })

/**
 * The regulariser of every A2Q and A2Q+ layer of a model together, to be added to the loss; see
 * `A2QQuantiser.penalty`. The model must have run once.
 *
 * @example
 * ```ts
 * import { nn, ops, qnn, quant, randn } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 4 }),
 *   new qnn.QuantLinear(64, 10, { weightBits: 4, accumulatorBits: 10, accumulator: 'a2q+' }),
 * )
 * const loss = model.forward(randn([8, 64])).square().mean()
 * ops.add(loss, quant.a2qPenalty(model).mul(1e-3)).backward()
 * quant.certify(model.eval()).verify({ bits: 10 })
 * ```
 */
export function a2qPenalty(model: Module, form: 'linear' | 'log2' = 'linear'): Tensor {
  const penalties = a2qLayers(model).map(({ quantiser }) => quantiser.penalty(form))
  ensure(penalties.length > 0, 'INVALID_ARGUMENT', () => 'a2qPenalty: the model has no A2Q layer')
  return penalties.reduce((total, penalty) => total.add(penalty))
}

/**
 * EP-init of every A2Q and A2Q+ layer of a model: each channel of its latent weights is projected onto
 * the L1 ball that the accumulator affords. See `A2QQuantiser.project`. The model must have run once.
 */
export function epInit(model: Module): void {
  for (const { layer, quantiser } of a2qLayers(model)) quantiser.project(layer.latentWeight('weight'), maskOf(layer, 'weight'))
}
