import { type Conv2d, describe, EspalierError, ensure, Finish, native, SparseKernel, wholeNumber } from '../native/index.js'
import { floats, maskOf } from './arguments.js'
import { type ConvPlanes, type ConvSteps, type ConvWeight, geometryOf, geometryOfBatch, inputLength, outputLength, type Pair, pairOf } from './convGeometry.js'
import type { Costs } from './sparseMatrix.js'

export interface SparseConv2dOptions {
  /** Channels are cut into this many groups that do not see each other. Default 1. */
  groups?: number
  /** Which weights belong to the convolution: those where it is not 0. By default those where the weight is not 0. */
  mask?: Float32Array | Uint8Array
  /** Default 'automatic': generated code where this processor has an emitter for it, else portable. */
  kernel?: keyof typeof SparseKernel
}

// Frees the native side of convolutions that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<number>((number) => native.sparseConv2dFree(number))

/**
 * A pruned convolution, prepared once for its mask: each pass costs what the kept weights cost. float32; images are
 * [n, channels, height, width].
 *
 * On x86 machine code is generated for the mask at the first call with a geometry, an instruction for each kept
 * weight; the values stand apart from the code, so that training changes them without making it anew. Elsewhere, and
 * with `ESPALIER_JIT=0`, a portable kernel takes its place. No pass makes a matrix of patches. See docs/sparse.md.
 *
 * The native side holds the code; `dispose` (or `using`) frees it at once, the garbage collector at some time.
 *
 * @throws EspalierError DTYPE_MISMATCH for arrays that are not float32, SHAPE_MISMATCH for lengths that do not fit,
 *   INVALID_ARGUMENT for sizes that are no whole numbers, or channels that do not divide into the groups
 * @example
 * ```ts
 * import { kernels } from 'espalier'
 * const weight = Float32Array.of(0, 0, 0, 0, 2, 0, 0, 0, 1) // 1 × 1 × 3 × 3: twice a pixel and its neighbour below right
 * const conv = new kernels.SparseConv2d(weight, 1, 1, 3)
 * conv.count // 2
 * conv.forward(Float32Array.of(1, 2, 3, 4), { height: 2, width: 2, padding: 1 }) // [6, 4, 6, 8]
 * conv.dispose()
 * ```
 */
export class SparseConv2d implements ConvWeight {
  readonly inChannels: number
  readonly outChannels: number
  /** [height, width] */
  readonly kernelSize: readonly [number, number]
  readonly groups: number
  /** How many weights are kept. */
  readonly count: number
  #number: number
  #places: Int32Array | null = null
  #retired = false
  readonly #kernel: SparseKernel

  constructor(
    weight: Float32Array,
    inChannels: number,
    outChannels: number,
    kernelSize: Pair,
    { groups = 1, mask, kernel = 'automatic' }: SparseConv2dOptions = {},
  ) {
    this.inChannels = wholeNumber('SparseConv2d: inChannels', inChannels)
    this.outChannels = wholeNumber('SparseConv2d: outChannels', outChannels)
    this.groups = wholeNumber('SparseConv2d: groups', groups, 1)
    this.kernelSize = pairOf('SparseConv2d', 'kernelSize', kernelSize, 1)
    ensure(
      inChannels % groups === 0 && outChannels % groups === 0,
      'INVALID_ARGUMENT',
      () => `SparseConv2d: ${inChannels} to ${outChannels} channels do not divide into ${groups} groups`,
    )
    floats('SparseConv2d', 'weight', weight, (outChannels * inChannels * this.kernelSize[0] * this.kernelSize[1]) / groups)
    ensure(
      typeof kernel === 'string' && Object.hasOwn(SparseKernel, kernel),
      'INVALID_ARGUMENT',
      () => `SparseConv2d: kernel is ${describe(kernel)}, expected one of ${Object.keys(SparseKernel).join(', ')}`,
    )
    if (mask !== undefined) maskOf('SparseConv2d', mask, weight.length)
    this.#kernel = SparseKernel[kernel]
    this.#number = native.sparseConv2dCreate(weight, mask ?? null, this.#kernel, inChannels, outChannels, ...this.kernelSize, groups)
    this.count = native.sparseConv2dSize(this.#number)
    forgotten.register(this, this.#number, this)
  }

  /** Of its weight as a matrix, a row for each output channel. @internal */
  get rows(): number {
    return this.outChannels
  }
  /** @internal */
  get columns(): number {
    return (this.inChannels / this.groups) * this.kernelSize[0] * this.kernelSize[1]
  }

  /** The number of the native convolution; an error after `dispose`. */
  get #live(): number {
    if (this.#number !== 0) return this.#number
    if (!this.#retired) throw new EspalierError('STATE', 'SparseConv2d: the convolution was disposed of')
    const { inChannels, outChannels, kernelSize, groups, places } = this
    const mask = new Uint8Array((outChannels * inChannels * kernelSize[0] * kernelSize[1]) / groups)
    for (const place of places) mask[place] = 1
    this.#number = native.sparseConv2dCreate(new Float32Array(mask.length), mask, this.#kernel, inChannels, outChannels, ...kernelSize, groups)
    forgotten.register(this, this.#number, this)
    return this.#number
  }

  /** The kept values, in the order of the dense weight, as a copy. */
  values(): Float32Array {
    const values = new Float32Array(this.count)
    native.sparseConv2dValues(this.#live, values)
    return values
  }

  /** Other values for the kept weights, in their order. Costs a pass over them. */
  setValues(values: Float32Array): void {
    native.sparseConv2dSetValues(this.#live, floats('setValues', 'values', values, this.count))
  }

  /** `positions` not copied: to be read alone. @internal */
  get places(): Int32Array {
    if (this.#places === null) {
      this.#places = new Int32Array(this.count)
      native.sparseConv2dPositions(this.#live, this.#places)
    }
    return this.#places
  }

  /** Where the kept weights stand in the dense weight, in their order. */
  positions(): Int32Array {
    return this.places.slice()
  }

  /** Bytes of machine code made so far: at the first call of each pass with a geometry. */
  get codeSize(): number {
    return native.sparseConv2dCodeSize(this.#live)
  }

  /** Nanoseconds spent so far on making the convolution and, at the first call of each pass with a geometry, its code. Measured. */
  get makingTime(): number {
    return native.sparseConv2dMakingTime(this.#live)
  }

  /**
   * What the passes are told of a batch; for calls that are made again and again.
   *
   * @throws EspalierError SHAPE_MISMATCH where the kernel is larger than the padded plane
   */
  geometry(n: number, height: number, width: number, steps: ConvSteps = {}): Conv2d {
    return geometryOf(
      'SparseConv2d',
      this,
      wholeNumber('SparseConv2d: n', n),
      [wholeNumber('SparseConv2d: height', height), wholeNumber('SparseConv2d: width', width)],
      steps,
    )
  }

  /** The convolution of x [n, inChannels, height, width] + bias, max(·, 0) with `relu`: [n, outChannels, height', width']. */
  forward(
    x: Float32Array,
    planes: ConvPlanes | Conv2d,
    { bias = null, relu = false, out }: { bias?: Float32Array | null; relu?: boolean; out?: Float32Array } = {},
  ): Float32Array {
    floats('forward', 'x', x)
    const geometry = isGeometry(planes) ? planes : geometryOfBatch('forward', this, planes, 'x', x)
    if (bias !== null) floats('forward', 'bias', bias, this.outChannels)
    const y = into('forward', out, outputLength(geometry))
    native.sparseConv2dForward(this.#live, x, bias, relu ? Finish.relu : Finish.none, y, ...geometry)
    return y
  }

  /** The gradient for x of a loss whose gradient for the output is dy; `planes` are those of x. */
  dataGradient(dy: Float32Array, planes: ConvPlanes | Conv2d, { out }: { out?: Float32Array } = {}): Float32Array {
    floats('dataGradient', 'dy', dy)
    const geometry = isGeometry(planes) ? planes : geometryOfBatch('dataGradient', this, planes, 'dy', dy)
    const dx = into('dataGradient', out, inputLength(geometry))
    native.sparseConv2dDataGrad(this.#live, dy, dx, ...geometry)
    return dx
  }

  /** The gradient of the kept values, in their order. The dense gradient is never made. */
  weightGradient(x: Float32Array, dy: Float32Array, planes: ConvPlanes | Conv2d, { out }: { out?: Float32Array } = {}): Float32Array {
    floats('weightGradient', 'x', x)
    floats('weightGradient', 'dy', dy)
    const geometry = isGeometry(planes) ? planes : geometryOfBatch('weightGradient', this, planes, 'x', x)
    const values = into('weightGradient', out, this.count)
    native.sparseConv2dWeightGrad(this.#live, x, dy, values, ...geometry)
    return values
  }

  /**
   * What the three passes of a layer's training step are expected to take, by this convolution and by a dense one.
   * @internal
   */
  costs(geometry: Conv2d): Costs {
    const [sparse, dense] = [new Float64Array(3), new Float64Array(3)]
    native.sparseConv2dCosts(this.#live, sparse, dense, ...geometry)
    return { sparse, dense }
  }

  /** Frees the code and the values of one that is probably not needed again, as `SparseMatrix` does. @internal */
  retire(): void {
    this.places
    this.dispose()
    this.#retired = true
  }

  /** Frees the code and the values; a second call does nothing. */
  dispose(): void {
    this.#retired = false
    if (this.#number === 0) return
    forgotten.unregister(this)
    native.sparseConv2dFree(this.#number)
    this.#number = 0
  }
  [Symbol.dispose](): void {
    this.dispose()
  }
}

const isGeometry = (planes: ConvPlanes | Conv2d): planes is Conv2d => Array.isArray(planes)
const into = (operation: string, out: Float32Array | undefined, length: number): Float32Array =>
  out === undefined ? new Float32Array(length) : floats(operation, 'out', out, length)
