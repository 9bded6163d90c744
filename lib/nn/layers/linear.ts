import { lent, tracing } from '../../autograd/index.js'
import { SparseMatrix } from '../../kernels/index.js'
import { Pattern } from '../../kernels/pattern.js'
import { DeviceArray, wholeNumber } from '../../native/index.js'
import { linear, maskedLinear, relu, sparseLinear } from '../../ops/index.js'
import { worksOnPanels } from '../../ops/sparseLinear.js'
import { type Generator, panelsOf, Tensor } from '../../tensor/index.js'
import { internals } from '../internals.js'
import { type MaskedWay, maskedProduct } from '../masked.js'
import { Module } from '../module.js'
import type { Parameter } from '../parameter.js'
import { beside, biasOf, resetWeights, type WeightOptions, weightOf } from './weights.js'

/**
 * x·weightᵀ + bias over the last dimension: [..., inFeatures] → [..., outFeatures]. weight is [outFeatures, inFeatures]. Under a
 * mask it multiplies by what is kept alone where that is the faster.
 *
 * @throws EspalierError INVALID_ARGUMENT for sizes that are no whole numbers from 0; SHAPE_MISMATCH, when used, for another last dimension
 * @example
 * ```ts
 * import { nn, ones } from 'espalier'
 * new nn.Linear(3, 2).forward(ones([5, 3])).shape // [5, 2]
 * ```
 */
export class Linear extends Module {
  weight: Parameter
  bias: Parameter | null

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    { bias = true, generator }: WeightOptions = {},
  ) {
    super()
    wholeNumber('Linear: inFeatures', inFeatures)
    wholeNumber('Linear: outFeatures', outFeatures)
    this.weight = weightOf([outFeatures, inFeatures])
    this.bias = biasOf(bias, outFeatures)
    this.resetParameters(generator)
  }

  /** Draws the initial values anew: U(−b, b), b = 1 / √inFeatures. */
  resetParameters(generator?: Generator): void {
    resetWeights(this, generator)
  }

  forward(x: Tensor): Tensor {
    return maskedProduct(this, x, linearWay) ?? denseProduct(this, x, false)
  }

  /** relu(forward(x)), in one pass where the product works on panels. @internal */
  forwardRectified(x: Tensor): Tensor {
    return maskedProduct(this, x, rectifiedWay) ?? denseProduct(this, x, true)
  }

  override extraRepr(): string {
    return `${this.inFeatures}, ${this.outFeatures}, bias: ${this.effectiveOrNull('bias') !== null}`
  }
}

/** By all weights. */
function denseProduct(layer: Linear, x: Tensor, rectified: boolean): Tensor {
  const [weight, bias] = [beside(x, layer.effective('weight')), beside(x, layer.effectiveOrNull('bias'))]
  const whole = wholeFor(layer, x, weight)
  if (whole !== null) {
    inPanels.set(layer, whole.formatFor(samplesIn(x)))
    return sparseLinear(x, weight, whole, bias, rectified)
  }
  inPanels.delete(layer)
  const y = linear(x, weight, bias)
  return rectified ? relu(lent(y)) : y
}

// A small layer behind sparse ones takes what they give in panels, as if sparse and keeping all: turning that into rows,
// and the gradient back, took longer than its products. (Code of more weights outgrows the nearer caches.)
const mostInPanels = 1 << 15
const wholes = new WeakMap<Linear, SparseMatrix>()
const inPanels = new WeakMap<Module, string>()

/** What multiplied by all weights of a layer, if its latest pass by these was in panels; null if not. @internal */
export const kernelInPanels = (layer: Module): string | null => inPanels.get(layer) ?? null

/** The matrix by which a layer multiplies x in panels; null where it does not. */
function wholeFor(layer: Linear, x: Tensor, weight: Tensor): SparseMatrix | null {
  if (panelsOf(x) === null || tracing() || layer[internals].maskedKernels === 'dense') return null
  const [rows, columns] = weight.shape
  if (weight.size > mostInPanels || weight.dtype !== 'float32' || weight.device !== 'cpu' || x.shape[x.rank - 1] !== columns) return null
  let whole = wholes.get(layer)
  if (whole?.rows !== rows || whole.columns !== columns) {
    whole = new SparseMatrix(new Float32Array(weight.size), rows, columns, { mask: new Uint8Array(weight.size).fill(1) })
    wholes.set(layer, whole)
  }
  return worksOnPanels(whole, samplesIn(x)) ? whole : null
}

/** By the weights that a mask keeps. @internal */
export const linearWay: MaskedWay<Linear, SparseMatrix | Pattern> = {
  untimedOnGpu: () => null,
  takes: ({ inFeatures }, x) => x instanceof Tensor && x.rank > 0 && x.shape[x.rank - 1] === inFeatures,
  work: ({ outFeatures }, { size }) => size * outFeatures,
  prepare(_, { storage, shape: [rows, columns] }, count) {
    if (storage instanceof DeviceArray) return new Pattern(storage, rows, columns, count)
    const mask = storage as Float32Array
    return new SparseMatrix(mask, rows, columns, { mask })
  },
  costs: (_, matrix, x) => matrix.costs(samplesIn(x)),
  kernel: (matrix, x) => matrix.formatFor(samplesIn(x)),
  byValues: (_, x, values, matrix, bias) => sparseLinear(x, values, matrix, bias),
  byWeight: (_, x, weight, matrix, bias, ofKept) => maskedLinear(x, weight, matrix, bias, ofKept),
}

/** With the ReLU behind it. */
const rectifiedWay: typeof linearWay = {
  ...linearWay,
  byValues: (_, x, values, matrix, bias) => sparseLinear(x, values, matrix, bias, true),
  byWeight: (_, x, weight, matrix, bias, ofKept) => relu(lent(maskedLinear(x, weight, matrix, bias, ofKept))),
}

const samplesIn = ({ size, shape }: Tensor): number => size / shape[shape.length - 1]
