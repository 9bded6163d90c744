import { tracing } from '../../autograd/index.js'
import { SparseConv2d as Prepared } from '../../kernels/index.js'
import { type Pattern, patternOn } from '../../kernels/pattern.js'
import { patternCosts } from '../../kernels/patternCosts.js'
import { describe, EspalierError, ensure, type NativeArray, native, wholeNumber } from '../../native/index.js'
import { type ConvOptions, sparseConv2d } from '../../ops/index.js'
import { allocate, assign, dtypeOf, gathered, type HostDType, hostValues, Tensor, tensor } from '../../tensor/index.js'
import { maskOf } from '../mask.js'
import { chosenForKept, type Weighed } from '../masked.js'
import type { KernelChoice } from '../maskPlan.js'
import { Module } from '../module.js'
import { Parameter } from '../parameter.js'
import { Conv2d } from './conv2d.js'
import { type Pair, pairOf } from './pair.js'
import { bufferOf, madeForPlaces, placesOf } from './places.js'
import { untimedUnlessPointwise } from './pointwise.js'
import { beside, moveBeside, showOptions } from './weights.js'

/** What says which weights are kept: those where it is not 0, in the order of the dense weight. */
export type KernelMask = Tensor | Float32Array | Uint8Array

/**
 * A two-dimensional convolution that holds only its kept weights: `weight` [kept] is what is learned and what
 * optimisers update, and on the CPU every pass, the gradients' among them, costs what is kept. float32.
 *
 * On a GPU passes are dense, by a weight that is made of the kept ones there and forgotten; with `maskedKernels('sparse')`
 * they multiply by the kept ones alone, and a convolution that takes every pixel as it is (1×1, stride 1, no padding, one
 * group) does so, too, where that is expected to be the faster: see docs/cuda.md.
 *
 * `positions` (int32, [kept], ascending) says where the weights stand in the dense
 * [outChannels, inChannels / groups, kh, kw]: it is saved with the state, and may be replaced between steps together
 * with the weights; `remask` does that.
 *
 * @throws EspalierError INVALID_ARGUMENT for positions that do not ascend or lie outside of the weight
 * @example
 * ```ts
 * import { nn, ops, prune, rand } from 'espalier'
 * const dense = new nn.Conv2d(16, 32, 3, { padding: 1 })
 * prune.l1Unstructured(dense, 'weight', 0.9)
 * const layer = nn.SparseConv2d.from(dense)
 * layer.weight.size // 461
 * ops.sum(layer.forward(rand([4, 16, 8, 8]))).backward()
 * layer.weight.grad?.shape // [461]
 * layer.toConv2d() // the dense layer again, zeros where nothing is kept
 * ```
 */
export class SparseConv2d extends Module {
  weight: Parameter
  declare positions: Tensor
  bias: Parameter | null
  /** [height, width] */
  readonly kernelSize: readonly [number, number]
  /** stride, padding, dilation and groups, as `ops.conv2d` takes them. */
  readonly geometry: Conv2d['geometry']

  constructor(
    readonly inChannels: number,
    readonly outChannels: number,
    kernelSize: Pair,
    positions: Int32Array,
    values: Float32Array,
    bias: Float32Array | null = null,
    { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvOptions = {},
  ) {
    super()
    wholeNumber('SparseConv2d: inChannels', inChannels)
    wholeNumber('SparseConv2d: outChannels', outChannels)
    wholeNumber('SparseConv2d: groups', groups, 1)
    ensure(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `SparseConv2d: ${inChannels} to ${outChannels} channels do not divide into ${groups} groups`,
    )
    this.kernelSize = pairOf('SparseConv2d: kernelSize', kernelSize, 1)
    this.geometry = { stride, padding, dilation, groups }
    ensure(positions instanceof Int32Array, 'INVALID_ARGUMENT', () => `SparseConv2d: positions is ${describe(positions)}, expected an Int32Array`)
    ensure(
      values instanceof Float32Array && values.length === positions.length,
      'SHAPE_MISMATCH',
      () => `SparseConv2d: values is ${describe(values)}, expected a Float32Array of ${positions.length} elements`,
    )
    ensure(
      bias === null || (bias instanceof Float32Array && bias.length === outChannels),
      'SHAPE_MISMATCH',
      () => `SparseConv2d: bias is ${describe(bias)}, expected null or a Float32Array of ${outChannels} elements`,
    )
    this.weight = new Parameter(tensor(values.slice()))
    this.registerBuffer('positions', bufferOf(positions.slice()), { onHost: true })
    this.bias = bias === null ? null : new Parameter(tensor(bias.slice()))
    preparedFor(this)
  }

  /**
   * The weights of a layer that `mask` keeps: by default those its own mask keeps, or those that are not 0 of one
   * without a mask. Of their dtype and where they are.
   */
  static from(layer: Conv2d, mask?: KernelMask): SparseConv2d {
    ensure(layer instanceof Conv2d, 'INVALID_ARGUMENT', () => `SparseConv2d.from: the layer is ${describe(layer)}, expected a Conv2d`)
    const weight = layer.effective('weight')
    const dense = tensor(hostValues(weight.storage))
    const positions = positionsOf('SparseConv2d.from', mask ?? maskOf(layer, 'weight') ?? dense, dense.size)
    const bias = layer.effectiveOrNull('bias')
    const made = new SparseConv2d(
      layer.inChannels,
      layer.outChannels,
      layer.kernelSize,
      positions,
      new Float32Array(positions.length),
      bias === null ? null : new Float32Array(bias.size),
      layer.geometry,
    )
    moveBeside(made, weight)
    assign(made.weight.storage, gathered(dense, { positions }).storage)
    if (made.bias !== null && bias !== null) assign(made.bias.storage, bias.storage)
    return made
  }

  /** How many weights the dense layer has. */
  get denseSize(): number {
    return (this.outChannels * this.inChannels * this.kernelSize[0] * this.kernelSize[1]) / (this.geometry.groups as number)
  }

  /** Nanoseconds spent so far on making what its products run on: measured. */
  get makingTime(): number {
    return preparedFor(this).makingTime
  }

  /** The share of the weights that is kept. */
  get density(): number {
    return this.denseSize === 0 ? 0 : this.weight.size / this.denseSize
  }

  /**
   * Keeps other weights from now on: those kept before and after stay as they are, new ones begin at 0. With as many
   * as before, `weight` is the same parameter, and an optimiser may go on with it; else it is a new one, and an
   * optimiser must be made for it.
   *
   * @returns whether `weight` is a new parameter
   */
  remask(mask: KernelMask): boolean {
    const positions = positionsOf('SparseConv2d.remask', mask, this.denseSize)
    const { size, device, requiresGrad } = this.weight
    const values = gathered(tensor(this.dense()), { positions })
    const renewed = values.size !== size
    if (renewed) this.weight = new Parameter(tensor(values, { device }), requiresGrad)
    else assign(this.weight.storage, values.storage)
    this.registerBuffer('positions', bufferOf(positions), { onHost: true })
    return renewed
  }

  /** A dense layer of the same weights, of their dtype and where they are. */
  toConv2d(): Conv2d {
    const layer = new Conv2d(this.inChannels, this.outChannels, this.kernelSize, { ...this.geometry, bias: this.bias !== null })
    moveBeside(layer, this.weight)
    assign(layer.weight.storage, this.dense())
    if (this.bias !== null && layer.bias !== null) assign(layer.bias.storage, this.bias.storage)
    return layer
  }

  /** The elements of the dense weight, on the CPU. */
  private dense(): NativeArray {
    const values = hostValues(this.weight.storage)
    const dense = allocate(dtypeOf(values) as HostDType, this.denseSize).fill(0)
    native.scatterKept(values, this.positions.storage, dense)
    return dense
  }

  forward(x: Tensor): Tensor {
    const { stride, padding, dilation } = this.geometry
    return sparseConv2d(x, beside(x, this.effective('weight')), multiplier(this, x), beside(x, this.effectiveOrNull('bias')), { stride, padding, dilation })
  }

  override extraRepr(): string {
    const options = showOptions({ ...this.geometry, bias: this.bias !== null }, { stride: 1, padding: 0, dilation: 1, groups: 1, bias: true })
    return `${this.inChannels}, ${this.outChannels}, [${this.kernelSize.join(', ')}]${options}, kept: ${this.weight.size}`
  }
}

const latest = new WeakMap<SparseConv2d, KernelChoice>()

/** How a layer multiplied on a GPU, if its latest forward pass was there; null if not. @internal */
export const latestOnGpu = (layer: SparseConv2d): KernelChoice | null => latest.get(layer) ?? null

/** What a layer's product is made with: its convolution, or on a GPU the pattern of its weight where that pays. */
function multiplier(layer: SparseConv2d, x: Tensor): Prepared | Pattern {
  const convolution = preparedFor(layer)
  latest.delete(layer)
  // (What is wrong with x, the operation says.)
  if (!(x instanceof Tensor) || x.device === 'cpu' || x.rank !== 4 || x.device !== layer.latentWeight('weight').device || tracing()) return convolution
  const choice = chosenForKept(layer, x, layer.density, convolution, onGpu)
  latest.set(layer, choice)
  return choice.runs === 'sparse' ? patternOn(convolution, x.device) : convolution
}

const onGpu: Weighed<SparseConv2d, Prepared> = {
  untimedOnGpu: untimedUnlessPointwise,
  work: ({ denseSize }, { shape: [n, , height, width] }) => denseSize * n * height * width,
  costs: (_, convolution, { shape: [n, , height, width] }) => patternCosts(convolution, n * height * width, 'kept'),
  kernel: () => 'elements',
}

/** Where a mask of `size` entries keeps something. */
function positionsOf(operation: string, mask: KernelMask, size: number): Int32Array {
  const kept = mask instanceof Tensor ? hostValues(mask.storage) : mask
  if (!(mask instanceof Tensor || mask instanceof Float32Array || mask instanceof Uint8Array))
    throw new EspalierError('INVALID_ARGUMENT', `${operation}: the mask is ${describe(mask)}, expected a tensor, a Float32Array or a Uint8Array`)
  ensure(kept.length === size, 'SHAPE_MISMATCH', () => `${operation}: the mask has ${kept.length} entries, the weight ${size}`)
  return placesOf(kept)
}

const preparedFor = madeForPlaces<SparseConv2d, Prepared>(
  ({ denseSize }) => denseSize,
  ({ inChannels, outChannels, kernelSize, geometry: { groups } }, mask) =>
    new Prepared(new Float32Array(mask.length), inChannels, outChannels, kernelSize, { groups, mask }),
)
