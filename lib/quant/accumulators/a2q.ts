import { noGrad } from '../../autograd/index.js'
import { ensure } from '../../native/index.js'
import { Module, Parameter, stages, type WeightTransform } from '../../nn/index.js'
import { abs, absMax, clamp, div, exp2, log, maximum, mean, minimum, mul, relu, reshape, roundToZero, sub, sum } from '../../ops/index.js'
import { assign, empty, hostValues, type Quantisation, type Tensor } from '../../tensor/index.js'
import { codesOf, type IntegerRange, integerRange } from '../range.js'
import { a2qCap, a2qPlusCap } from './caps.js'
import { l1Projection } from './l1Projection.js'

// Weights whose L1 norm is learned and capped, so that no input can overflow the accumulator: Colbert
// et al. 2023 (A2Q) and 2024 (A2Q+, the same with the weights centred first). Semantics of Brevitas'
// `Int8AccumulatorAware[ZeroCenter]WeightQuant`.

export type A2QMethod = 'a2q' | 'a2q+'

export interface A2QOptions {
  /** Width P of the accumulator, two's complement, 2 to 32 bits. */
  accumulatorBits: number
  /** `a2q+` centres the weights of a channel and affords about twice the norm. */
  accumulator: A2QMethod
  /** Bit width of a weight's code, 2 to 8. Default 8. */
  weightBits?: number
  /** Largest magnitude of an integer bias inside the accumulator, taken off it. Default 0. */
  bias?: number
  /** Codes of the inputs, where they are known before the layer first runs. */
  input?: IntegerRange
}

// A channel without weights has the norm 0.
const smallest = 1e-10

/** [out] shaped to broadcast over a weight. */
const perRow = (values: Tensor, weight: Tensor): Tensor => reshape(values, [values.size, ...new Array<number>(weight.rank - 1).fill(1)])

/** All dimensions of a weight but that of its channels. */
const within = (weight: Tensor): { dim: number[]; keepdim: true } => ({ dim: Array.from({ length: weight.rank - 1 }, (_, i) => i + 1), keepdim: true })

/** A weight quantiser whose norm g and scale s are learned, a channel each, as log₂. */
export class A2QQuantiser extends Module {
  readonly range: IntegerRange
  readonly accumulatorBits: number
  readonly method: A2QMethod
  private readonly bias: number
  /** Codes that feed the layer, on which the cap depends; null before it first ran. */
  input: IntegerRange | null
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
    ensure(this.input !== null, 'STATE', () => 'accumulatorBits wants a quantised input; put a QuantIdentity or QuantReLU in front and run the model once')
    return capOf(this.method, this.input, this.accumulatorBits, this.bias)
  }

  /**
   * s · clamp(roundToZero(v · min(g/s, cap) / ‖v‖₁)), v the weight or, in A2Q+, the weight less its
   * channel's mean. Rounding towards zero never lets a norm grow. The gradient passes straight through
   * the rounding, and through norm and mean; g receives none where the cap takes over.
   */
  override forward(weight: Tensor): Tensor {
    const v = this.method === 'a2q+' ? sub(weight, mean(weight, within(weight))) : weight
    const scale = perRow(exp2(this.log2S), weight)
    const norm = minimum(div(perRow(exp2(this.log2G), weight), scale), this.cap)
    const step = div(maximum(sum(abs(v), within(v)), smallest), norm)
    const { min, max } = this.range
    const quantised = mul(clamp(roundToZero(div(v, step)), min, max), scale)
    quantised.quantisation = { scale, min, max } satisfies Quantisation
    return quantised
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
   * initialisation".
   */
  project(weight: Tensor): void {
    const { cap } = this
    const values = Float64Array.from(hostValues(weight.storage))
    const [g, s] = [Float64Array.from(hostValues(this.log2G.storage)), Float64Array.from(hostValues(this.log2S.storage))]
    const fanIn = s.length === 0 ? 0 : values.length / s.length
    for (const [row, exponent] of s.entries()) {
      const radius = 2 ** exponent * cap
      values.set(l1Projection(values.subarray(row * fanIn, (row + 1) * fanIn), radius), row * fanIn)
      g[row] = Math.min(g[row], Math.log2(radius))
    }
    overwrite(weight, values)
    overwrite(this.log2G, g)
  }
}

/** Overwrites a tensor, wherever it is, with values of float64. */
function overwrite(to: Tensor, values: Float64Array): void {
  const rounded = empty(to.shape, to.dtype, 'cpu')
  rounded.data.set(values as never)
  assign(to.storage, rounded.storage)
}

function capOf(method: A2QMethod, input: IntegerRange, accumulatorBits: number, bias: number): number {
  const { bits, signed } = codesOf(input)
  return (method === 'a2q' ? a2qCap : a2qPlusCap)({ accumulatorBits, inputBits: bits, inputSigned: signed, bias })
}

/** The quantiser in a layer's field; null where it learns none. */
function weightQuantiserOf(layer: Module): A2QQuantiser | null {
  const { weightQuantiser } = layer as { weightQuantiser?: unknown }
  return weightQuantiser instanceof A2QQuantiser ? weightQuantiser : null
}

/** On the weight's way: the quantiser in the layer's field, under the cap that the layer's inputs leave. */
export const a2qTransform: WeightTransform = {
  kind: 'quantiser',
  stage: stages.quantiser,
  apply(weight, layer) {
    const quantiser = weightQuantiserOf(layer) as A2QQuantiser
    const { inputQuantisation } = layer as { inputQuantisation?: Quantisation | null }
    if (inputQuantisation) quantiser.input = { min: inputQuantisation.min, max: inputQuantisation.max }
    return quantiser.forward(weight)
  },
}

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
  const penalties = [...model.modules()].flatMap((layer) => weightQuantiserOf(layer)?.penalty(form) ?? [])
  ensure(penalties.length > 0, 'INVALID_ARGUMENT', () => 'a2qPenalty: the model has no A2Q layer')
  return penalties.reduce((total, penalty) => total.add(penalty))
}

/**
 * EP-init of every A2Q and A2Q+ layer of a model: each channel of its latent weights is projected onto
 * the L1 ball that the accumulator affords. See `A2QQuantiser.project`. The model must have run once.
 */
export function epInit(model: Module): void {
  for (const layer of model.modules()) weightQuantiserOf(layer)?.project(layer.latentWeight('weight'))
}
