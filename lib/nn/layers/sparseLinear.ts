import { SparseMatrix } from '../../kernels/index.js'
import { describe, ensure, native, wholeNumber } from '../../native/index.js'
import { sparseLinear } from '../../ops/index.js'
import { allocate, assign, dtypeOf, gathered, type HostDType, hostValues, type Tensor, tensor } from '../../tensor/index.js'
import { maskOf } from '../mask.js'
import { Module } from '../module.js'
import { Parameter } from '../parameter.js'
import { Linear } from './linear.js'
import { bufferOf, madeForPlaces, placesOf } from './places.js'
import { beside, moveBeside } from './weights.js'

/**
 * A linear layer that holds only its kept weights: `weight` [kept] is what is learned and what optimisers update,
 * and every product, the gradient's among them, costs what is kept. float32; on a GPU 16 bits too.
 *
 * `positions` (int32, [kept], ascending) says where the weights stand in the dense [outFeatures, inFeatures]:
 * it is saved with the state, and may be replaced between steps together with the weights.
 *
 * @throws EspalierError INVALID_ARGUMENT for positions that do not ascend or lie outside of the matrix
 * @example
 * ```ts
 * import { nn, ops, prune, rand } from 'espalier'
 * const dense = new nn.Linear(256, 128)
 * prune.l1Unstructured(dense, 'weight', 0.9)
 * const layer = nn.SparseLinear.from(dense)
 * layer.weight.size // 3277
 * ops.sum(layer.forward(rand([32, 256]))).backward()
 * layer.weight.grad?.shape // [3277]
 * layer.toLinear() // the dense layer again, zeros where nothing is kept
 * ```
 */
export class SparseLinear extends Module {
  weight: Parameter
  declare positions: Tensor
  bias: Parameter | null

  constructor(
    readonly inFeatures: number,
    readonly outFeatures: number,
    positions: Int32Array,
    values: Float32Array,
    bias: Float32Array | null = null,
  ) {
    super()
    wholeNumber('SparseLinear: inFeatures', inFeatures)
    wholeNumber('SparseLinear: outFeatures', outFeatures)
    ensure(positions instanceof Int32Array, 'INVALID_ARGUMENT', () => `SparseLinear: positions is ${describe(positions)}, expected an Int32Array`)
    ensure(
      values instanceof Float32Array && values.length === positions.length,
      'SHAPE_MISMATCH',
      () => `SparseLinear: values is ${describe(values)}, expected a Float32Array of ${positions.length} elements`,
    )
    this.weight = new Parameter(tensor(values.slice()))
    this.registerBuffer('positions', bufferOf(positions.slice()), { onHost: true })
    this.bias = bias === null ? null : new Parameter(tensor(bias.slice()))
    preparedFor(this)
  }

  /** The kept weights of a masked layer, or those that are not 0 of one without a mask. Of their dtype and where they are. */
  static from(layer: Linear): SparseLinear {
    ensure(layer instanceof Linear, 'INVALID_ARGUMENT', () => `SparseLinear.from: the layer is ${describe(layer)}, expected a Linear`)
    const weight = layer.effective('weight')
    const dense = hostValues(weight.storage)
    const mask = maskOf(layer, 'weight')
    const kept = mask === null ? dense : hostValues(mask.storage)
    const positions = placesOf(kept)
    const bias = layer.effectiveOrNull('bias')
    const made = new SparseLinear(
      layer.inFeatures,
      layer.outFeatures,
      positions,
      new Float32Array(positions.length),
      bias === null ? null : new Float32Array(bias.size),
    )
    moveBeside(made, weight)
    assign(made.weight.storage, gathered(tensor(dense), { positions }).storage)
    if (made.bias !== null && bias !== null) assign(made.bias.storage, bias.storage)
    return made
  }

  /** The share of the weights that is kept. */
  get density(): number {
    const size = this.inFeatures * this.outFeatures
    return size === 0 ? 0 : this.weight.size / size
  }

  /** Nanoseconds spent so far on making what its products run on: measured. */
  get makingTime(): number {
    return preparedFor(this).makingTime
  }

  /** A dense layer of the same weights, of their dtype and where they are. */
  toLinear(): Linear {
    const layer = new Linear(this.inFeatures, this.outFeatures, { bias: this.bias !== null })
    moveBeside(layer, this.weight)
    const values = hostValues(this.weight.storage)
    const dense = allocate(dtypeOf(values) as HostDType, layer.weight.size).fill(0)
    native.scatterKept(values, this.positions.storage, dense)
    assign(layer.weight.storage, dense)
    if (this.bias !== null && layer.bias !== null) assign(layer.bias.storage, this.bias.storage)
    return layer
  }

  forward(x: Tensor): Tensor {
    return product(this, x, false)
  }

  /** relu(forward(x)), in one pass where the product works on panels. @internal */
  forwardRectified(x: Tensor): Tensor {
    return product(this, x, true)
  }

  override extraRepr(): string {
    return `${this.inFeatures}, ${this.outFeatures}, kept: ${this.weight.size}, bias: ${this.bias !== null}`
  }
}

const product = (layer: SparseLinear, x: Tensor, rectified: boolean): Tensor =>
  sparseLinear(x, beside(x, layer.effective('weight')), preparedFor(layer), beside(x, layer.effectiveOrNull('bias')), rectified)

const preparedFor = madeForPlaces<SparseLinear, SparseMatrix>(
  ({ inFeatures, outFeatures }) => inFeatures * outFeatures,
  ({ inFeatures, outFeatures }, mask) => new SparseMatrix(new Float32Array(mask.length), outFeatures, inFeatures, { mask }),
)
