// Derived from native/include/espalier by scripts/bindings.mjs; run `npm run bindings` after a change there.

import type { Storage } from './storage.js'

export const Status = {
  ok: 0,
  invalidArgument: 1,
  shapeMismatch: 2,
  dtypeMismatch: 3,
  outOfMemory: 4,
  internal: 5,
} as const
export type Status = (typeof Status)[keyof typeof Status]

export const Dtype = {
  float32: 0,
  float64: 1,
  int32: 2,
  int16: 3,
  int8: 4,
  uint8: 5,
  float16: 6,
  bfloat16: 7,
} as const
export type Dtype = (typeof Dtype)[keyof typeof Dtype]

export const Overflow = {
  wrap: 0,
  saturate: 1,
} as const
export type Overflow = (typeof Overflow)[keyof typeof Overflow]

export const Summing = {
  listed: 0,
  worst: 1,
} as const
export type Summing = (typeof Summing)[keyof typeof Summing]

export const Unary = {
  relu: 0,
  exp: 1,
  leakyRelu: 2,
  sigmoid: 3,
  tanh: 4,
  gelu: 5,
  silu: 6,
  elu: 7,
  abs: 8,
  log: 9,
  sqrt: 10,
  neg: 11,
  square: 12,
  pow: 13,
  clamp: 14,
  round: 15,
  sign: 16,
} as const
export type Unary = (typeof Unary)[keyof typeof Unary]

export const Binary = {
  add: 0,
  sub: 1,
  mul: 2,
  div: 3,
  maximum: 4,
  minimum: 5,
  greater: 6,
} as const
export type Binary = (typeof Binary)[keyof typeof Binary]

export const Finish = {
  none: 0,
  relu: 1,
} as const
export type Finish = (typeof Finish)[keyof typeof Finish]

export const Reduction = {
  none: 0,
  mean: 1,
  sum: 2,
} as const
export type Reduction = (typeof Reduction)[keyof typeof Reduction]

export const Distance = {
  square: 0,
  absolute: 1,
  smooth: 2,
  huber: 3,
} as const
export type Distance = (typeof Distance)[keyof typeof Distance]

export const MaskRule = {
  gradient: 0,
  freeze: 1,
} as const
export type MaskRule = (typeof MaskRule)[keyof typeof MaskRule]

export const RoundingGradient = {
  clamp: 0,
  clampSte: 1,
  clampPositive: 2,
} as const
export type RoundingGradient = (typeof RoundingGradient)[keyof typeof RoundingGradient]

export const SparseFormat = {
  automatic: 0,
  generated: 1,
  rows: 2,
  vector: 3,
  fanIn: 4,
  nOfM: 5,
  blocks: 6,
  channels: 7,
  dense: 8,
} as const
export type SparseFormat = (typeof SparseFormat)[keyof typeof SparseFormat]

export const SparseLayout = {
  columns: 0,
  rows: 1,
  panels: 2,
} as const
export type SparseLayout = (typeof SparseLayout)[keyof typeof SparseLayout]

export const SparseKernel = {
  automatic: 0,
  portable: 1,
  generated: 2,
} as const
export type SparseKernel = (typeof SparseKernel)[keyof typeof SparseKernel]

export const IntegerKernel = {
  automatic: 0,
  rows: 1,
  signs: 2,
  blocks: 3,
  dense: 4,
  vector: 5,
} as const
export type IntegerKernel = (typeof IntegerKernel)[keyof typeof IntegerKernel]

export const CudaPrecision = {
  float32: 0,
  tf32: 1,
  bfloat16: 2,
} as const
export type CudaPrecision = (typeof CudaPrecision)[keyof typeof CudaPrecision]

export type Conv2d = readonly [n: number, inChannels: number, inHeight: number, inWidth: number, outChannels: number, outHeight: number, outWidth: number, kernelHeight: number, kernelWidth: number, strideHeight: number, strideWidth: number, paddingTop: number, paddingLeft: number, dilationHeight: number, dilationWidth: number, groups: number]

export type Table = readonly [rows: number, size: number]

export type Product = readonly [m: number, n: number, k: number, transposeA: number, transposeB: number, lda: number, ldb: number, ldc: number]

export type ClassRows = readonly [rows: number, classes: number]

export type Channels = readonly [batch: number, channels: number, size: number]

export type Rows = readonly [rows: number, size: number]

export type Pool2d = readonly [planes: number, height: number, width: number, outHeight: number, outWidth: number, kernelHeight: number, kernelWidth: number, strideHeight: number, strideWidth: number, paddingHeight: number, paddingWidth: number, dilationHeight: number, dilationWidth: number]

export type AdaptivePool2d = readonly [planes: number, height: number, width: number, outHeight: number, outWidth: number]

export type Accumulator = readonly [bits: number, inputMin: number, inputMax: number]

export type Strip = readonly [outer: number, length: number, inner: number]

export type SparseConv2d = readonly [inChannels: number, outChannels: number, kernelHeight: number, kernelWidth: number, groups: number]

export type CudaTiles = readonly [m: number, k: number, n: number, batchMajor: number, tileRows: number, tileColumns: number]

export type CudaSparse = readonly [m: number, k: number, n: number, batchMajor: number, fanIn: number]

export type CudaMasked = readonly [m: number, k: number, n: number, batchMajor: number]

export type CudaTwoFour = readonly [m: number, k: number, n: number, batchMajor: number]

export type Nhwc = readonly [rows: number, channels: number]

export type NhwcPool2d = readonly [images: number, channels: number, height: number, width: number, outHeight: number, outWidth: number, kernelHeight: number, kernelWidth: number, strideHeight: number, strideWidth: number, paddingHeight: number, paddingWidth: number]

export interface NativeOperations {
  /** The instruction set the kernels run on: the best this processor has, or the one that the
   * environment variable ESPALIER_ISA names. An unknown or absent one is an error. */
  isa(): string
  /** The instruction sets this build holds and this processor runs, best first, separated by commas. */
  isas(): string
  /** Threads a call may use, the caller's included. At first ESPALIER_THREADS, else one a core.
   * Results do not depend on it. */
  threads(): number
  /** Sets it, 1 to 256. */
  setThreads(count: number): void
  /** How many bytes past a multiple of 64 an array begins. Kernels read and write those that begin at one up to a tenth
   * faster: their vectors then lie in one line of the cache each. */
  misalignment(array: Storage | null): number
  /** The convolution of espalier_conv2d_forward on int32 codes, each output summed in a register of `bits`
   * bits, 2 to 32, that starts at bias[o] where `bias` is given, else at 0. A matrix product is the
   * convolution of images of one element.
   * 
   * `order`, optional, lists the fan-in's indices 0 … in_channels / groups · kernel_height · kernel_width − 1,
   * each once, as products are to be added. With `tile` above 0 each `tile` products in turn are added in a
   * register of `tile_bits` bits that starts at 0, and its sum is then added to the first; ESPALIER_SUMMING_WORST
   * orders the products inside of each tile, and then the sums of the tiles. With `tile` 0, `tile_bits` is
   * not looked at.
   * 
   * `first`, int32 of y's length, is optional: at how many products the first sum left its register, 0
   * where the bias alone does, −1 where none did; under ESPALIER_SUMMING_WORST, where it has no one place, the
   * fan-in.
   * 
   * Codes of x and of the weight lie within ±2^15, and ESPALIER_SUMMING_WORST takes no `order`. */
  narrowConv2d(x: Storage | null, weight: Storage | null, bias: Storage | null, order: Storage | null, summing: Summing, bits: number, overflow: Overflow, tile: number, tileBits: number, y: Storage | null, first: Storage | null, ...shape: Conv2d): void
  /** y as above, plus bias[o] where `bias` [out_channels] is not NULL; with `relu` 1, max(y, 0). */
  conv2dForward(x: Storage | null, weight: Storage | null, bias: Storage | null, relu: number, y: Storage | null, ...shape: Conv2d): void
  /** dx, the gradient of sum(dy * y) for x. It is also the transposed convolution of dy, and therefore
   * takes a bias: bias[c] is added where `bias` [in_channels] is not NULL. */
  conv2dDataGrad(weight: Storage | null, dy: Storage | null, bias: Storage | null, dx: Storage | null, ...shape: Conv2d): void
  /** dweight, the gradient of sum(dy * y) for the weight. */
  conv2dWeightGrad(x: Storage | null, dy: Storage | null, dweight: Storage | null, ...shape: Conv2d): void
  /** sums[c], the sum of x [n, channels, plane] over n and plane: the gradient of a bias per channel. */
  channelSum(n: number, channels: number, plane: number, x: Storage | null, sums: Storage | null): void
  /** y[i] = kind(x[i]); x and y of one length and type. p and q are the function's parameters where it
   * has any (see espalier_unary), else ignored. May run in place. */
  unaryForward(kind: Unary, p: number, q: number, x: Storage | null, y: Storage | null): void
  /** grad_x[i] = grad[i] kind'(x[i]), where y is what the forward call made of x. All of one length and
   * type. grad_x may be grad. */
  unaryBackward(kind: Unary, p: number, q: number, x: Storage | null, y: Storage | null, grad: Storage | null, gradX: Storage | null): void
  /** y[i] = kind(a[i], b[i]); all of one length and type. y may be a or b. */
  binaryForward(kind: Binary, a: Storage | null, b: Storage | null, y: Storage | null): void
  /** y[i] = kind(a[i], b). y may be a. */
  binaryScalar(kind: Binary, a: Storage | null, b: number, y: Storage | null): void
  /** y[o, i, j] = kind(a[o, i, j], b[i]): a and y are [outer, n, inner], b has n elements. A bias of rows
   * (inner 1) or of channels, without a shape to pass. y may be a. */
  binaryMiddle(kind: Binary, outer: number, n: number, inner: number, a: Storage | null, b: Storage | null, y: Storage | null): void
  /** y = kind(a, b), both stretched to a common shape: shapes are aligned at the last dimension and a
   * dimension of 1 repeats. y has as many elements as that common shape. */
  binaryBroadcast(kind: Binary, aShape: readonly number[], bShape: readonly number[], a: Storage | null, b: Storage | null, y: Storage | null): void
  /** y[i] += x[i]; one length and type. */
  accumulate(x: Storage | null, y: Storage | null): void
  /** y[i] = weight[indices[i]], a row for each index; int32 indices in [0, rows). */
  embeddingForward(weight: Storage | null, indices: Storage | null, y: Storage | null, ...shape: Table): void
  /** dweight[r] = Σ dy[i] over the i with indices[i] = r, added in their order. Row `padding` gets 0; −1: none. */
  embeddingBackward(dy: Storage | null, indices: Storage | null, padding: number, dweight: Storage | null, ...shape: Table): void
  /** C = finish(alpha·op(A)·op(B) + beta·C + bias). row_bias has m elements, column_bias n; either may
   * be absent. With beta = 0 C is not read, with alpha = 0 A and B are not. */
  gemm(alpha: number, a: Storage | null, b: Storage | null, beta: number, rowBias: Storage | null, columnBias: Storage | null, finish: Finish, c: Storage | null, ...product: Product): void
  /** The length of an array that holds a packed op(B) of k×n. It depends on the instruction set. */
  gemmPackSize(n: number, k: number, dtype: Dtype): number
  /** Packs op(B), k×n, once for many products. The array is good for this process and instruction set:
   * keep the matrix, not its packed form. */
  gemmPack(n: number, k: number, transposeB: number, ldb: number, b: Storage | null, packed: Storage | null): void
  /** espalier_gemm with op(B) from espalier_gemm_pack; an array packed for other sizes, or by another
   * instruction set, is an error. transpose_b and ldb are ignored. */
  gemmPacked(alpha: number, a: Storage | null, packed: Storage | null, beta: number, rowBias: Storage | null, columnBias: Storage | null, finish: Finish, c: Storage | null, ...product: Product): void
  /** A batch of products C = op(A)·op(B) of dense matrices (ld = stored columns). The batch shapes have
   * one rank; a dimension of A or B that is 1 is stretched to the other's. A dimension of C is that, or
   * 1: then the products along it are added up. */
  matmul(m: number, n: number, k: number, transposeA: number, transposeB: number, batchA: readonly number[], batchB: readonly number[], batchC: readonly number[], a: Storage | null, b: Storage | null, c: Storage | null): void
  /** y[j] = Σ over i of x[i, j]; x is rows×columns, y has `columns` elements. */
  columnSum(rows: number, columns: number, x: Storage | null, y: Storage | null): void
  /** Cross entropy of the softmax of x (rows × classes) with a class number per row:
   *   loss[r] = (1 − ε) w[t] (−log p[t]) + ε / classes · Σ_c w[c] (−log p[c]),  p = softmax(x[r]), t = target[r]
   * `target` is int32 in [0, classes), or `ignore_index`: such a row counts nothing. `weight` (classes
   * values) may be absent: all ones. ε = `label_smoothing`, in [0, 1]. The mean divides by the sum of
   * the targets' weights, and is NaN where that is zero. `kept` (2 rows + 1 values) receives what the
   * backward function needs. */
  crossEntropyForward(x: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, ignoreIndex: number, labelSmoothing: number, loss: Storage | null, kept: Storage | null, ...shape: ClassRows): void
  /** dx from the gradient of the loss; the other arguments as the forward function had them. */
  crossEntropyBackward(dloss: Storage | null, x: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, ignoreIndex: number, labelSmoothing: number, kept: Storage | null, dx: Storage | null, ...shape: ClassRows): void
  /** The same with a probability per class as target (rows × classes values, smoothed by ε as above):
   *   loss[r] = Σ_c w[c] t[c] (−log p[c]);  the mean divides by the number of rows. */
  softCrossEntropyForward(x: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, labelSmoothing: number, loss: Storage | null, kept: Storage | null, ...shape: ClassRows): void
  /** dx and dtarget, either of which may be absent. */
  softCrossEntropyBackward(dloss: Storage | null, x: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, labelSmoothing: number, kept: Storage | null, dx: Storage | null, dtarget: Storage | null, ...shape: ClassRows): void
  /** Negative log-likelihood: loss[r] = −w[t] x[r, t], x being log-probabilities. Targets, weights and mean
   * as in the cross entropy. `divisor` (1 value) receives what the mean divided by. */
  nllForward(x: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, ignoreIndex: number, loss: Storage | null, divisor: Storage | null, ...shape: ClassRows): void
  nllBackward(dloss: Storage | null, target: Storage | null, weight: Storage | null, reduction: Reduction, ignoreIndex: number, divisor: Storage | null, dx: Storage | null, ...shape: ClassRows): void
  /** x and target of one length; the mean of no elements is NaN. `beta` > 0 is used by the last two. */
  distanceForward(kind: Distance, beta: number, x: Storage | null, target: Storage | null, reduction: Reduction, loss: Storage | null): void
  /** dx and dtarget, either of which may be absent. */
  distanceBackward(kind: Distance, beta: number, dloss: Storage | null, x: Storage | null, target: Storage | null, reduction: Reduction, dx: Storage | null, dtarget: Storage | null): void
  /** Binary cross entropy of the logistic function of x, elementwise:
   *   loss = w [(1 − t) x + (1 + (q − 1) t) ln(1 + e^−x)],
   * w = `weight`, q = `pos_weight`, each absent (1) or of a length that divides x's: it repeats. */
  bceWithLogitsForward(x: Storage | null, target: Storage | null, weight: Storage | null, posWeight: Storage | null, reduction: Reduction, loss: Storage | null): void
  /** dx and dtarget, either of which may be absent. */
  bceWithLogitsBackward(dloss: Storage | null, x: Storage | null, target: Storage | null, weight: Storage | null, posWeight: Storage | null, reduction: Reduction, dx: Storage | null, dtarget: Storage | null): void
  /** y = (x − mean) / sqrt(var + eps) · weight + bias with each channel's own mean and biased variance over
   * batch and size. `weight` and `bias` (channels values) may be absent: 1 and 0. `mean` and `scale`
   * (channels values each) receive the mean and 1 / sqrt(var + eps), for the backward function.
   * `running_mean` and `running_var`, absent or channels values each, become
   * (1 − momentum) · old + momentum · batch statistic, the variance there unbiased. An array without
   * elements changes nothing. */
  batchNormTrain(x: Storage | null, weight: Storage | null, bias: Storage | null, momentum: number, eps: number, runningMean: Storage | null, runningVar: Storage | null, mean: Storage | null, scale: Storage | null, y: Storage | null, ...shape: Channels): void
  /** Gradients of it: dx, dweight, dbias; each may be absent. */
  batchNormTrainBackward(dy: Storage | null, x: Storage | null, weight: Storage | null, mean: Storage | null, scale: Storage | null, dx: Storage | null, dweight: Storage | null, dbias: Storage | null, ...shape: Channels): void
  /** y = (x − mean) / sqrt(var + eps) · weight + bias with given statistics. */
  batchNormEval(x: Storage | null, weight: Storage | null, bias: Storage | null, mean: Storage | null, variance: Storage | null, eps: number, y: Storage | null, ...shape: Channels): void
  /** Gradients of it: dx, dweight, dbias; each may be absent. */
  batchNormEvalBackward(dy: Storage | null, x: Storage | null, weight: Storage | null, mean: Storage | null, variance: Storage | null, eps: number, dx: Storage | null, dweight: Storage | null, dbias: Storage | null, ...shape: Channels): void
  /** Each row normalised by its own mean and biased variance: y = (x − mean) / sqrt(var + eps) · weight + bias,
   * `weight` and `bias` of one row's length, each may be absent. `mean` and `scale` (rows values each)
   * receive the mean and 1 / sqrt(var + eps). */
  layerNormForward(x: Storage | null, weight: Storage | null, bias: Storage | null, eps: number, mean: Storage | null, scale: Storage | null, y: Storage | null, ...shape: Rows): void
  /** Gradients of it: dx, dweight, dbias; each may be absent. */
  layerNormBackward(dy: Storage | null, x: Storage | null, weight: Storage | null, mean: Storage | null, scale: Storage | null, dx: Storage | null, dweight: Storage | null, dbias: Storage | null, ...shape: Rows): void
  /** Stochastic gradient descent. g = ±gradient + weight_decay·p; with momentum v = momentum·v +
   * (1 − dampening)·g, on the `first` step v = g; p −= lr·(v, or g + momentum·v if `nesterov`).
   * `velocity` is optional where momentum is 0. `first`, `nesterov` and `maximize` are 0 or 1. */
  sgdStep(parameter: Storage | null, gradient: Storage | null, velocity: Storage | null, mask: Storage | null, maskRule: MaskRule, lr: number, momentum: number, dampening: number, weightDecay: number, nesterov: number, maximize: number, first: number): void
  /** Adam (Kingma & Ba 2015); AdamW (Loshchilov & Hutter 2019) where `decoupled` is 1: decay then
   * shrinks p by 1 − lr·weight_decay instead of entering the gradient. With m, s the running means of
   * g and g², both corrected for their start at zero: p −= lr·m̂ / (√ŝ + eps). Where `largest` is
   * given (amsgrad) it takes the place of s and holds its maximum so far. `step` counts from 1. */
  adamStep(parameter: Storage | null, gradient: Storage | null, mean: Storage | null, square: Storage | null, largest: Storage | null, mask: Storage | null, maskRule: MaskRule, step: number, lr: number, beta1: number, beta2: number, eps: number, weightDecay: number, decoupled: number, maximize: number): void
  /** RMSprop (Hinton 2012). s is the running mean of g² by `alpha`; where `mean` is given (centered)
   * the square of the running mean of g is taken from it. d = g / (√s + eps); with momentum
   * v = momentum·v + d takes the place of d; p −= lr·d. `velocity` is optional where momentum is 0. */
  rmspropStep(parameter: Storage | null, gradient: Storage | null, square: Storage | null, mean: Storage | null, velocity: Storage | null, mask: Storage | null, maskRule: MaskRule, lr: number, alpha: number, eps: number, weightDecay: number, momentum: number, maximize: number): void
  /** y = factor·x. May run in place. */
  scaleGradient(x: Storage | null, factor: number, y: Storage | null): void
  /** y = x brought into [−limit, limit]; NaN stays NaN. May run in place. */
  clampGradient(x: Storage | null, limit: number, y: Storage | null): void
  /** y = the largest value of each window, the first in reading order of equal ones; a NaN is larger than
   * all. `indices` (int32, y's length, may be absent) receives where it is in its plane: row · width +
   * column; −1 (and y = −∞) for a window without any value. */
  maxPool2dForward(x: Storage | null, y: Storage | null, indices: Storage | null, ...shape: Pool2d): void
  /** dx = each dy added at its window's index, 0 elsewhere. An index outside its plane is an error, −1 goes
   * nowhere. `in_size` and `out_size` are values a plane. */
  maxPoolBackward(dy: Storage | null, indices: Storage | null, dx: Storage | null, planes: number, inSize: number, outSize: number): void
  /** y = the mean of each window: its sum over the number of its taps in the image, or, where
   * `count_padding` is 1, in the image and its padding. Dilations must be 1. */
  avgPool2dForward(x: Storage | null, countPadding: number, y: Storage | null, ...shape: Pool2d): void
  avgPool2dBackward(dy: Storage | null, countPadding: number, dx: Storage | null, ...shape: Pool2d): void
  adaptiveAvgPool2dForward(x: Storage | null, y: Storage | null, ...shape: AdaptivePool2d): void
  adaptiveAvgPool2dBackward(dy: Storage | null, dx: Storage | null, ...shape: AdaptivePool2d): void
  /** As espalier_max_pool2d_forward; its backward function serves both. */
  adaptiveMaxPool2dForward(x: Storage | null, y: Storage | null, indices: Storage | null, ...shape: AdaptivePool2d): void
  /** A program from the bytes (uint8) of a file, which are not kept. Bytes that are not a whole, undamaged file of a
   * version that this library knows are an error, found in time and memory bounded by their number (an element
   * that is 0 takes a bit in a file, and four bytes in memory). */
  programLoad(file: Storage | null): number
  /** The same from the description that a file holds, without its header: what a compiler hands over. */
  programCreate(description: Storage | null): number
  /** Takes a number back. Calls that run the program at this moment finish; its memory goes with the last of them,
   * and with the last of its numbers. */
  programFree(program: number): void
  /** A second number for the same program, to be taken back by itself: for a call that will be made later. */
  programShare(program: number): number
  /** Elements of a sample, and of the result of one. */
  programInputSize(program: number): number
  programOutputSize(program: number): number
  /** y [batch, output size] = the network of x [batch, input size]; both float32, dense and row-major. Formats are
   * prepared at the first run of a batch size, which takes longer. */
  programRun(program: number, batch: number, x: Storage | null, y: Storage | null): void
  /** Measures every format of every layer on batches of this size, and runs the fastest from then on; a file written
   * later remembers them. Takes some milliseconds a layer. */
  programTune(program: number, batch: number): void
  /** The file: its size in bytes, and its bytes (uint8). */
  programFileSize(program: number): number
  programFile(program: number, file: Storage | null): void
  /** What runs on what at a batch size, as text in JSON: for each step the layer, the operation, and for layers with
   * weights the format, the kernel, the density, the predicted nanoseconds and those of the other formats. With
   * `repeats` above 0 (at most 10000) the network is run so often, and each step has its measured nanoseconds (a
   * median) and layers the share of the processor's peak (one thread's) that their kept weights make use of. At
   * batch size 0 it tells the shapes and the steps alone, and prepares nothing. The text belongs to the calling thread
   * and is good until its next such call. */
  programExplain(program: number, batch: number, repeats: number): string
  /** What a layer that sums whole numbers multiplies by, for a proof of its sums elsewhere: weight [rows, columns] (int8),
   * and what each sum starts from, bias [rows] (int32; 0 where it has none). The layer is named by its step's place among
   * those of espalier_program_explain, which tells which steps are such layers, their rows and columns, and the least and
   * the greatest code of their inputs. */
  programIntegers(program: number, step: number, weight: Storage | null, bias: Storage | null): void
  /** q = clamp(round(x / scale + zero), qmin, qmax), ties to even, the division rounded to x's type;
   * y = (q − zero)·scale. `zero` is optional (0), and so is `codes`, int32 of x's length, which
   * receives q. qmin ≤ qmax are whole numbers within ±2^31. A scale that is not positive and finite is
   * an error. Where x is NaN so is y, and q is qmin. y may be x. */
  fakeQuantForward(x: Storage | null, scale: Storage | null, zero: Storage | null, mask: Storage | null, outer: number, channels: number, inner: number, qmin: number, qmax: number, y: Storage | null, codes: Storage | null): void
  /** The gradients of x and of the scale for `gradient`, that of y. Both results are optional;
   * `gradient_x` may be `gradient`. */
  fakeQuantBackward(gradient: Storage | null, x: Storage | null, scale: Storage | null, zero: Storage | null, mask: Storage | null, outer: number, channels: number, inner: number, qmin: number, qmax: number, rule: RoundingGradient, gradientX: Storage | null, gradientScale: Storage | null): void
  /** x [channels, inner] on the grid of its own largest magnitudes: scale = max(|x|, smallest) / top for each
   * channel, which `scale` receives, and `index` (int32) where in x the largest stands first; −1 without
   * elements. y as espalier_fake_quant_forward has it, without zero and mask. */
  fakeQuantLargestForward(x: Storage | null, channels: number, inner: number, top: number, smallest: number, qmin: number, qmax: number, y: Storage | null, scale: Storage | null, index: Storage | null): void
  /** The gradient of x for `gradient`, that of y, straight through; at `index` also that of the scale, by what the
   * scale is to the largest. `gradient_x` may be `gradient`. */
  fakeQuantLargestBackward(gradient: Storage | null, x: Storage | null, scale: Storage | null, index: Storage | null, channels: number, inner: number, smallest: number, qmin: number, qmax: number, gradientX: Storage | null): void
  /** The largest |x| of each channel and, where `index` (int32) is given, the first place in x that has
   * it. NaN counts as the largest. A channel without elements gives 0 and −1. */
  absMax(x: Storage | null, mask: Storage | null, outer: number, channels: number, inner: number, value: Storage | null, index: Storage | null): void
  /** Whole numbers near the weights v [rows, fan_in] of which no sum of products, in any order and under any
   * inputs, leaves the accumulator. A row is a neuron; u = v / scale are its weights in units of a code, scale
   * [rows] or absent (1); its sum starts from bias, whole numbers [rows] within the accumulator or absent (0).
   * With p the sum of its positive codes and n that of the magnitudes of its negative ones,
   *   input_max·p − input_min·n ≤ 2^(bits−1) − 1 − bias  and  input_max·n − input_min·p ≤ 2^(bits−1) + bias,
   * which is necessary as well.
   * 
   * Codes are sign(u)·clamp(round(|u| − t), 0, largest), 1 ≤ largest < 2^15, ties to even, with the least t ≥ 0 of
   * each sign that fits; where it lies on the border of several codes, those of lower index have what is
   * left. So the unit that brings the codes nearest to u comes first, and of inputs of one sign they are the
   * nearest of all that fit. Under inputs of both signs, where every weight counts at both ends, t is found for
   * both signs together, and then less for the one that can use what is left. v must be finite and scale positive; v,
   * scale, bias and codes are of one type; codes may be v. */
  budgetCodes(v: Storage | null, scale: Storage | null, bias: Storage | null, rows: number, fanIn: number, largest: number, codes: Storage | null, ...accumulator: Accumulator): void
  /** The weights v brought to where the accumulator has codes for them: u clamped to ±(largest + 0.49), then
   * every magnitude less by what brings the sums of the real numbers p and n to the bounds above, nothing
   * below 0. Under inputs of one sign each sign has an amount of its own (the projection onto a simplex: Duchi
   * et al. 2008), else they share the larger one. Where `mask`, optional, of v's length and type, is 0, entries
   * count as 0 and stay as they are. What need not move keeps every bit. y may be v. */
  budgetProject(v: Storage | null, scale: Storage | null, mask: Storage | null, bias: Storage | null, rows: number, fanIn: number, largest: number, y: Storage | null, ...accumulator: Accumulator): void
  /** Sums of x [outer, channels, inner] to codes: y = clamp(round(x·m), 0, top), m = exp(log_multiplier) for each
   * channel, ties to even; a whole number 1 ≤ top < 2^15. Where x is NaN so is y. y may be x. */
  requantiseForward(x: Storage | null, logMultiplier: Storage | null, outer: number, channels: number, inner: number, top: number, y: Storage | null): void
  /** The gradients of x and of the multipliers' logarithms for `gradient`, that of y: it passes where x·m rounds to
   * 0 … top, times m and times x·m. Both results are optional; `gradient_x` may be `gradient`. */
  requantiseBackward(gradient: Storage | null, x: Storage | null, logMultiplier: Storage | null, outer: number, channels: number, inner: number, top: number, gradientX: Storage | null, gradientLog: Storage | null): void
  /** y[i] uniform between low and high; of [0, 1) the upper end never occurs. */
  randomUniform(seed: number, counter: number, low: number, high: number, y: Storage | null): number
  /** y[i] normal with this mean and standard deviation (Box and Muller 1958). */
  randomNormal(seed: number, counter: number, mean: number, deviation: number, y: Storage | null): number
  /** y[i] = value with probability p (in steps of 2^-32), else 0. */
  randomBernoulli(seed: number, counter: number, p: number, value: number, y: Storage | null): number
  /** y (int32) = the numbers 0 … length-1 in random order, every order equally likely. Takes half a
   * block a number. */
  randomPermutation(seed: number, counter: number, y: Storage | null): number
  /** y = sums of x over the dimensions whose entry in `reduced` is 1 (the others are 0), divided by
   * `divisor`. x has the given shape; y holds the dimensions that stay, in their order. Sums run in a
   * fixed tree, so that float32 stays accurate and the bits do not depend on the threads. */
  sum(shape: readonly number[], reduced: readonly number[], divisor: number, x: Storage | null, y: Storage | null): void
  /** The largest value (sign 1) or the smallest (sign -1) of each line of x [outer, n, inner] along its
   * middle, and where it stands: the first of equal ones; a NaN counts as the most extreme. values and
   * indices (int32) have outer * inner elements; n is at least 1. Either may be NULL. */
  extreme(outer: number, n: number, inner: number, sign: number, x: Storage | null, values: Storage | null, indices: Storage | null): void
  /** y [outer, n, inner] = 0 but at the index of each line, where it takes the value of that line. */
  place(outer: number, n: number, inner: number, values: Storage | null, indices: Storage | null, y: Storage | null): void
  /** y[y_offset + i·y_strides] = x[x_offset + i·x_strides] for every index i of `shape`; steps count
   * elements and may be negative, those of x also 0 (an element repeats). Elements of y not reached
   * stay as they are; no two indices may reach the same one, nor lie within each other's span. x and y
   * share any one element type. */
  copyStrided(shape: readonly number[], xStrides: readonly number[], xOffset: number, yStrides: readonly number[], yOffset: number, x: Storage | null, y: Storage | null): void
  /** y [outer, count, inner] = the lines of x [outer, n, inner] that indices (int32, count of them, each
   * in [0, n)) name. x and y share any one element type. */
  take(outer: number, n: number, inner: number, x: Storage | null, indices: Storage | null, y: Storage | null): void
  /** The gradient of espalier_take: grad_x [outer, n, inner] = for each line, the sum of the lines of
   * grad [outer, count, inner] that came from it, in their order. */
  takeBackward(outer: number, n: number, inner: number, grad: Storage | null, indices: Storage | null, gradX: Storage | null): void
  /** y[i] = a[i] where mask[i] (uint8) is not 0, else b[i]. All of one length; a, b and y of one element
   * type, float32 or float64. A NULL a or b stands for zeros. */
  choose(mask: Storage | null, a: Storage | null, b: Storage | null, y: Storage | null): void
  /** y = e^x / Σ e^x along the strip, shifted by the largest x so that nothing overflows. All arrays here
   * hold outer · length · inner values of one float type. */
  softmaxForward(x: Storage | null, y: Storage | null, ...shape: Strip): void
  /** dx = y (dy − Σ dy·y), y being what the forward function gave. */
  softmaxBackward(dy: Storage | null, y: Storage | null, dx: Storage | null, ...shape: Strip): void
  /** y = x − ln Σ e^x along the strip. */
  logSoftmaxForward(x: Storage | null, y: Storage | null, ...shape: Strip): void
  /** dx = dy − e^y Σ dy, y being what the forward function gave. */
  logSoftmaxBackward(dy: Storage | null, y: Storage | null, dx: Storage | null, ...shape: Strip): void
  /** y = x² over the sum of the squares of x and of all entries after it, in the order of rising |x|,
   * of equal ones the lower index first: layer-adaptive magnitudes (Lee et al. 2021). 0 where x is 0. NaN is
   * an error. */
  lampScore(x: Storage | null, y: Storage | null): void
  /** y[i] = Σ over j of the Euclidean distance between the rows i and j of x [rows, columns]. */
  distanceSums(x: Storage | null, rows: number, columns: number, y: Storage | null): void
  /** A matrix with the entries of `weight` [rows, columns] where `mask` (of its length, float32 or uint8) is not 0,
   * or, where the mask is absent, where the weight is not 0. A kept entry may hold 0. Both are read, none is kept.
   * A mask that the format cannot hold is an error that says where. Code is generated at the first product, and for
   * products by the transpose at the first of those. */
  sparseCreate(rows: number, columns: number, weight: Storage | null, mask: Storage | null, format: SparseFormat, parameters: readonly number[]): number
  sparseFree(matrix: number): void
  /** How many entries are kept. */
  sparseSize(matrix: number): number
  /** Where they stand: index[i] (int32) = row·columns + column of kept entry i. */
  sparsePositions(matrix: number, index: Storage | null): void
  /** The values, read and written; writing them costs a pass over them and no code. */
  sparseValues(matrix: number, values: Storage | null): void
  sparseSetValues(matrix: number, values: Storage | null): void
  /** weight [rows, columns]: the values where they stand, 0 elsewhere. */
  sparseUnpack(matrix: number, weight: Storage | null): void
  /** The format's name: "generated", "2:4", "4x1"; of an automatic matrix, that of its product with so many samples. The
   * text lives as long as the process. */
  sparseFormatOf(matrix: number, samples: number): string
  /** Nanoseconds that its product with so many samples is expected to take on one core. */
  sparseCost(matrix: number, samples: number): number
  /** Bytes that the matrix holds so far: values, indices, machine code. */
  sparseBytes(matrix: number): number
  /** Those of machine code alone; 0 where its products need none. */
  sparseCodeSize(matrix: number): number
  /** Nanoseconds that were spent so far on making the matrix, and at the first product of each kind its code, tables and
   * transpose: measured, where everything else about costs is expected. */
  sparseMakingTime(matrix: number): number
  /** Y = finish(W·X + bias), or with `transpose` 1 finish(Wᵀ·X + bias), where X has a row's length and Y a
   * column's. `bias` is optional: an element a component of Y's vectors. */
  spmm(matrix: number, transpose: number, samples: number, layout: SparseLayout, x: Storage | null, bias: Storage | null, finish: Finish, y: Storage | null): void
  /** The gradient of the kept entries: values[i] = Σ over samples of dy[row of i]·x[column of i]. The dense product
   * is never made. dy holds Y's vectors, x X's. */
  sddmm(matrix: number, samples: number, layout: SparseLayout, dy: Storage | null, x: Storage | null, values: Storage | null): void
  /** Rows, a vector a sample, into panels, and back: a chain of products in panels packs once. What stands past the last
   * sample is 0. */
  toPanels(samples: number, components: number, x: Storage | null, panels: Storage | null): void
  fromPanels(samples: number, components: number, panels: Storage | null, y: Storage | null): void
  /** The gradient before the finish of Y's product, which both products of a training step take: dz = dy where y > 0, else
   * 0; all of dy where y, optional, is absent: there was no ReLU. And that of the bias, optional: sums[c] = Σ over
   * samples of dz's component c. dy is held as `layout` says; y and dz in panels, and dz may be dy where that is in
   * panels too. */
  finishGrad(samples: number, components: number, layout: SparseLayout, dy: Storage | null, y: Storage | null, dz: Storage | null, sums: Storage | null): void
  /** What the three products of a masked linear layer with so many samples are expected to take, in nanoseconds on one
   * core: [W·X, Wᵀ·dY, the gradient of W], float64, by this matrix (of the kept entries) and by a dense product (of all).
   * They rank, as espalier_sparse_cost does. */
  sparseCosts(matrix: number, samples: number, sparse: Storage | null, dense: Storage | null): void
  /** Kept entries apart from any matrix: `index` (int32) says where they stand, and ascends. values[i] =
   * weight[index[i]]; and weight[index[i]] = values[i], the other entries as they were. */
  gatherKept(weight: Storage | null, index: Storage | null, values: Storage | null): void
  scatterKept(values: Storage | null, index: Storage | null, weight: Storage | null): void
  /** same = 1 where the mask is 1 wherever `kept` (uint8, of zeros and ones, of its length) is and 0 elsewhere, else 0. */
  keepsSame(mask: Storage | null, kept: Storage | null): number
  /** A convolution by the entries of `weight` where `mask` (of its length, float32 or uint8) is not 0, or, where the
   * mask is absent, where the weight is not 0. A kept entry may hold 0. Both are read, none is kept. The other sizes
   * of a geometry are given with each call; code is generated at the first call of each pass with a geometry. */
  sparseConv2dCreate(weight: Storage | null, mask: Storage | null, kernel: SparseKernel, ...size: SparseConv2d): number
  sparseConv2dFree(convolution: number): void
  /** How many entries are kept. */
  sparseConv2dSize(convolution: number): number
  /** Where they stand in the dense weight (int32). */
  sparseConv2dPositions(convolution: number, index: Storage | null): void
  /** The values, read and written; writing them costs a pass over them and no code. */
  sparseConv2dValues(convolution: number, values: Storage | null): void
  sparseConv2dSetValues(convolution: number, values: Storage | null): void
  /** Bytes of machine code that the convolution holds so far; 0 where its passes are portable. */
  sparseConv2dCodeSize(convolution: number): number
  /** Nanoseconds that were spent so far on making the convolution and what its passes prepare, as
   * espalier_sparse_making_time. */
  sparseConv2dMakingTime(convolution: number): number
  /** As espalier_conv2d_forward: y = finish(the convolution of x + bias), where `bias` [out_channels] is optional. */
  sparseConv2dForward(convolution: number, x: Storage | null, bias: Storage | null, finish: Finish, y: Storage | null, ...shape: Conv2d): void
  /** dx, the gradient of sum(dy * y) for x. */
  sparseConv2dDataGrad(convolution: number, dy: Storage | null, dx: Storage | null, ...shape: Conv2d): void
  /** The gradient of the kept entries, in their order; the dense one is never made. */
  sparseConv2dWeightGrad(convolution: number, x: Storage | null, dy: Storage | null, values: Storage | null, ...shape: Conv2d): void
  /** As espalier_sparse_costs: [forward, gradient of x, gradient of the weight], by this convolution and by a dense one. */
  sparseConv2dCosts(convolution: number, sparse: Storage | null, dense: Storage | null, ...shape: Conv2d): void
  /** A matrix with the entries of `weight` (int8 [rows, columns]) that are not 0 and, where there is a mask (uint8 of its
   * length, optional), are not 0 in that either. The codes that X will hold are within [low, high], itself within 0…255
   * or within −128…127. `bits` is how wide sums may be, 16 or 32, or 0 for whatever is the fastest; whether a width holds
   * every sum, in whatever order, is computed from the weights and the range, and one that does not is an error that says
   * which would. */
  sparseIntegerCreate(rows: number, columns: number, weight: Storage | null, mask: Storage | null, kernel: IntegerKernel, low: number, high: number, bits: number): number
  sparseIntegerFree(matrix: number): void
  /** How many entries are kept. */
  sparseIntegerSize(matrix: number): number
  /** weight (int8 [rows, columns]): the kept entries where they stand, 0 elsewhere. */
  sparseIntegerUnpack(matrix: number, weight: Storage | null): void
  /** The kernel's name, for many samples: "rows", "signs", "1x4", "dense", "vector". The text lives as long as the
   * process. */
  sparseIntegerKernelOf(matrix: number): string
  /** The bits of the sums of many samples; few may be summed in 32. */
  sparseIntegerSumBits(matrix: number): number
  /** The least bits of two's complement that hold every partial sum of every row, start values apart. */
  sparseIntegerNeededBits(matrix: number): number
  /** Nanoseconds that its product with so many samples is expected to take on one core. */
  sparseIntegerCost(matrix: number, samples: number): number
  /** Bytes that the matrix holds: entries, indices, machine code. */
  sparseIntegerBytes(matrix: number): number
  /** Those of machine code alone. */
  sparseIntegerCodeSize(matrix: number): number
  /** Y = finish(W·X + start). X is uint8 or int8, and Y int32; or both are float32 that hold whole numbers: fractions of X
   * are cut off, and Y is the float32 nearest to the exact sum. Codes outside of the matrix's range count as its nearest
   * end, what is no number as the lower one. `start` (int32, an element a row) is optional; a sum that it takes out of 32
   * bits wraps. */
  integerSpmm(matrix: number, samples: number, layout: SparseLayout, x: Storage | null, start: Storage | null, finish: Finish, y: Storage | null): void
  /** y = the p-norm of x over the dimensions whose entry in `reduced` is 1 (the others are 0):
   * (Σ |x|^p)^(1/p); the largest |x| for p = ∞, the smallest for −∞, the number of entries that are
   * not 0 for p = 0. y holds the dimensions that stay, in their order. NaN gives NaN. Over no entries
   * the sum is 0, the largest 0 and the smallest ∞. */
  sliceNorm(shape: readonly number[], reduced: readonly number[], p: number, x: Storage | null, y: Storage | null): void
  /** Of all entries of all `scores` together, the k smallest fall: results are 0 there, and elsewhere
   * what the mask was, or 1. Only entries whose mask is not 0 are counted and fall; of equal ones
   * those of the lower index, in the first array, fall first. `masks` has a mask for each array of
   * scores or is empty; masks and results have one type, the scores' or uint8, and may be the same
   * arrays. With `magnitude` 1 entries are ranked by |score|, with 0 by score. Returns the score of the
   * last to fall (−∞ for k = 0). A NaN among the scores is an error, and so is a k above the number of
   * entries left. */
  pruneSmallest(scores: readonly Storage[], masks: readonly Storage[], magnitude: number, k: number, results: readonly Storage[]): number
  /** Each row of `scores` [rows, columns] keeps its `keep` largest entries (all, where it has no more):
   * result is 0 at the others, and elsewhere what the mask was, or 1. Of equal ones those of the lower
   * index are kept. Masks and `magnitude` as in prune_smallest; NaN is an error. */
  keepLargest(scores: Storage | null, mask: Storage | null, magnitude: number, rows: number, columns: number, keep: number, result: Storage | null): void
  /** `scores` [outer, size, inner] are cut into groups: the `size` entries of one outer and one inner index.
   * In each group the `falling` smallest fall (all that are left, where these are fewer): result is 0
   * there, and elsewhere what the mask was, or 1; of equal ones those of the lower index fall first.
   * `falling` (int32, ≥ 0) holds a number for each group [outer, inner], or one for all. Masks and
   * `magnitude` as in prune_smallest; NaN is an error. */
  pruneGroups(scores: Storage | null, mask: Storage | null, magnitude: number, outer: number, size: number, inner: number, falling: Storage | null, result: Storage | null): void
  /** counts[outer, inner] (int32) = the entries of each group of a mask [outer, size, inner] that are not 0. */
  countGroups(mask: Storage | null, outer: number, size: number, inner: number, counts: Storage | null): void
  /** count = the entries of all `scores` whose mask is not 0 and whose score is at most `threshold`, or with
   * `strictly` 1 below it. Masks and `magnitude` as in prune_smallest; NaN is an error. */
  countAtMost(scores: readonly Storage[], masks: readonly Storage[], magnitude: number, threshold: number, strictly: number): number
  /** ones = the number of entries that are 1, or −1 where one is neither 0 nor 1. */
  countOnes(mask: Storage | null): number
  /** y = x·mask; the mask has x's length, and its type or uint8. y may be x. */
  applyMask(x: Storage | null, mask: Storage | null, y: Storage | null): void
  /** The k-th smallest |x| of each channel of x [outer, channels, inner], k from 1 to outer·inner, and, where `index`
   * (int32) is given, the first place in x that has it. NaN is an error. */
  absKth(x: Storage | null, outer: number, channels: number, inner: number, k: number, value: Storage | null, index: Storage | null): void
}

/** Those that have a counterpart on a GPU, which takes device arrays. */
export const onDevice = [
  'conv2dForward',
  'conv2dDataGrad',
  'conv2dWeightGrad',
  'channelSum',
  'unaryForward',
  'unaryBackward',
  'binaryForward',
  'binaryScalar',
  'binaryMiddle',
  'binaryBroadcast',
  'accumulate',
  'embeddingForward',
  'embeddingBackward',
  'gemm',
  'matmul',
  'columnSum',
  'crossEntropyForward',
  'crossEntropyBackward',
  'softCrossEntropyForward',
  'softCrossEntropyBackward',
  'nllForward',
  'nllBackward',
  'distanceForward',
  'distanceBackward',
  'bceWithLogitsForward',
  'bceWithLogitsBackward',
  'batchNormTrain',
  'batchNormTrainBackward',
  'batchNormEval',
  'batchNormEvalBackward',
  'layerNormForward',
  'layerNormBackward',
  'sgdStep',
  'adamStep',
  'rmspropStep',
  'scaleGradient',
  'clampGradient',
  'maxPool2dForward',
  'maxPoolBackward',
  'avgPool2dForward',
  'avgPool2dBackward',
  'adaptiveAvgPool2dForward',
  'adaptiveAvgPool2dBackward',
  'adaptiveMaxPool2dForward',
  'fakeQuantForward',
  'fakeQuantBackward',
  'absMax',
  'randomUniform',
  'randomNormal',
  'randomBernoulli',
  'randomPermutation',
  'sum',
  'extreme',
  'place',
  'copyStrided',
  'take',
  'takeBackward',
  'choose',
  'softmaxForward',
  'softmaxBackward',
  'logSoftmaxForward',
  'logSoftmaxBackward',
  'lampScore',
  'distanceSums',
  'sliceNorm',
  'pruneSmallest',
  'keepLargest',
  'pruneGroups',
  'countGroups',
  'countAtMost',
  'countOnes',
  'applyMask',
  'absKth',
] as const satisfies readonly (keyof NativeOperations)[]

/** What the CUDA library has beyond them. */
export interface CudaOperations {
  /** How many devices there are: 0 where no driver is, which is no error. */
  deviceCount(): number
  /** The device that the calling thread's calls go to; 0 at first. */
  setDevice(device: number): void
  device(): number
  /** Returns what is kept for reuse to the driver. */
  emptyCache(): void
  /** y = x, converted from the element type of x to that of y (rounded to nearest even; to an integer as C
   * converts). */
  cast(x: Storage | null, y: Storage | null): void
  /** Waits for all work of the current stream, and reports what went wrong in it. */
  synchronize(): void
  /** Streams of the current device: work on one runs in its order, work on two may overlap. Stream 0 is
   * there from the start. A stream that is destroyed is waited for. */
  streamCreate(): number
  streamDestroy(stream: number): void
  setStream(stream: number): void
  stream(): number
  /** Work queued on the current stream from now on waits for what is queued on `stream` now. */
  waitStream(stream: number): void
  setPrecision(precision: CudaPrecision): void
  mixedSgdStep(parameter: Storage | null, copy: Storage | null, gradient: Storage | null, velocity: Storage | null, mask: Storage | null, maskRule: MaskRule, lr: number, momentum: number, dampening: number, weightDecay: number, nesterov: number, maximize: number, first: number): void
  mixedAdamStep(parameter: Storage | null, copy: Storage | null, gradient: Storage | null, mean: Storage | null, square: Storage | null, largest: Storage | null, mask: Storage | null, maskRule: MaskRule, step: number, lr: number, beta1: number, beta2: number, eps: number, weightDecay: number, decoupled: number, maximize: number): void
  mixedRmspropStep(parameter: Storage | null, copy: Storage | null, gradient: Storage | null, square: Storage | null, mean: Storage | null, velocity: Storage | null, mask: Storage | null, maskRule: MaskRule, lr: number, alpha: number, eps: number, weightDecay: number, momentum: number, maximize: number): void
  /** What the products need to know of a mask, int32 on the device, made once for each mask: its length (which
   * n and batch_major do not change), and itself. */
  tilesPlanSize(...shape: CudaTiles): number
  tilesPlan(mask: Storage | null, plan: Storage | null, ...shape: CudaTiles): void
  tilesForward(weight: Storage | null, plan: Storage | null, x: Storage | null, bias: Storage | null, y: Storage | null, ...shape: CudaTiles): void
  tilesDataGrad(weight: Storage | null, plan: Storage | null, dy: Storage | null, dx: Storage | null, ...shape: CudaTiles): void
  tilesWeightGrad(x: Storage | null, dy: Storage | null, plan: Storage | null, dweight: Storage | null, ...shape: CudaTiles): void
  /** How many elements of a mask (uint8 or float32) are not 0. Waits for the device. */
  sparseCount(mask: Storage | null): number
  /** The length of the pattern of `count` elements, below 2^31. */
  sparsePatternSize(count: number, ...shape: CudaSparse): number
  /** The pattern of a mask of m×k, uint8 or float32, of which `count` elements are not 0. A mask of another
   * count, or of rows of another fan_in, is an error of the next call that waits for the device. */
  sparsePattern(mask: Storage | null, count: number, pattern: Storage | null, ...shape: CudaSparse): void
  /** From a dense W of m×k to the values that count; and back into W, which keeps its other elements. */
  sparseGather(weight: Storage | null, pattern: Storage | null, values: Storage | null, ...shape: CudaSparse): void
  sparseScatter(values: Storage | null, pattern: Storage | null, weight: Storage | null, ...shape: CudaSparse): void
  sparseForward(values: Storage | null, pattern: Storage | null, x: Storage | null, bias: Storage | null, y: Storage | null, ...shape: CudaSparse): void
  sparseDataGrad(values: Storage | null, pattern: Storage | null, dy: Storage | null, dx: Storage | null, ...shape: CudaSparse): void
  /** dvalues: the gradient of each value. */
  sparseWeightGrad(x: Storage | null, dy: Storage | null, pattern: Storage | null, dvalues: Storage | null, ...shape: CudaSparse): void
  /** Convolutions by single elements of a weight W [out_channels, in_channels / groups, kernel_height, kernel_width]: of
   * it as a matrix, m = out_channels, k = in_channels / groups · kernel_height · kernel_width, `values` hold what counts,
   * as many as the pattern was made of, and `pattern` is what espalier_cuda_sparse_pattern makes of its mask; fan_in is
   * the one that it was made with. x, y and `shape` are those of a dense convolution (espalier/conv.h); bias has
   * out_channels elements, or is absent; all arrays are of one element type, as above. ESPALIER_INVALID_ARGUMENT where
   * out_channels is above (2^31 − 1) / 32, k above 2^31 − 1, fan_in above k, or there are more values than m·k;
   * ESPALIER_SHAPE_MISMATCH where an array's length is another, or there are not m·fan_in values.
   * 
   * Patches are not written out. Zeros are multiplied where a kernel reaches beyond an edge: an Inf or NaN among the
   * values makes NaN of sums there, and one in x or dy of gradients of values that nothing joins with it.
   * 
   * Every geometry is computed. A tile of one channel, with the rows and columns that its taps reach and in all the
   * planes that steps cut it into, must fit into shared memory; where it does not (a stride of 40×40; a kernel of 5×5 at
   * dilation 8 on rows of 1,024), a dense weight is made of the values, and the convolution is a dense one. */
  sparseConvolutionForward(values: Storage | null, pattern: Storage | null, x: Storage | null, bias: Storage | null, y: Storage | null, fanIn: number, ...shape: Conv2d): void
  sparseConvolutionDataGrad(values: Storage | null, pattern: Storage | null, dy: Storage | null, dx: Storage | null, fanIn: number, ...shape: Conv2d): void
  /** dvalues: the gradient of each value. Sums are added in an order that timing does not change. */
  sparseConvolutionWeightGrad(x: Storage | null, dy: Storage | null, pattern: Storage | null, dvalues: Storage | null, fanIn: number, ...shape: Conv2d): void
  /** Packs a mask of any of espalier_cuda_cast's float types or uint8; the last word's spare bits are 0. */
  maskedPack(mask: Storage | null, words: Storage | null): void
  maskedForward(weight: Storage | null, mask: Storage | null, x: Storage | null, bias: Storage | null, y: Storage | null, ...shape: CudaMasked): void
  maskedDataGrad(weight: Storage | null, mask: Storage | null, dy: Storage | null, dx: Storage | null, ...shape: CudaMasked): void
  /** dW = mask∘(dY·Xᵀ). */
  maskedWeightGrad(x: Storage | null, dy: Storage | null, mask: Storage | null, dweight: Storage | null, ...shape: CudaMasked): void
  twoFourPlacesSize(...shape: CudaTwoFour): number
  /** From a dense W of m×k, pruned on the way where it has more than two elements in a group: the largest of |W|
   * are kept, of equals those to the left. n and batch_major do not matter here. */
  twoFourCompress(weight: Storage | null, values: Storage | null, places: Storage | null, ...shape: CudaTwoFour): void
  /** The dense W, with zeros where nothing counts. */
  twoFourExpand(values: Storage | null, places: Storage | null, weight: Storage | null, ...shape: CudaTwoFour): void
  /** The elements of a dense m×k matrix (a new W, a gradient) that stand in the places. */
  twoFourGather(weight: Storage | null, places: Storage | null, values: Storage | null, ...shape: CudaTwoFour): void
  twoFourForward(values: Storage | null, places: Storage | null, x: Storage | null, bias: Storage | null, y: Storage | null, ...shape: CudaTwoFour): void
  /** float16 and bfloat16 alone. */
  twoFourDataGrad(values: Storage | null, places: Storage | null, dy: Storage | null, dx: Storage | null, ...shape: CudaTwoFour): void
  /** dvalues: the gradient of each value. */
  twoFourWeightGrad(x: Storage | null, dy: Storage | null, places: Storage | null, dvalues: Storage | null, ...shape: CudaTwoFour): void
  /** The convolution of conv.h with x [n, in_height, in_width, in_channels], weight [out_channels,
   * kernel_height, kernel_width, in_channels / groups] and y [n, out_height, out_width, out_channels]. Fastest
   * where the channels of a group are a multiple of 8 (4 in float32): others are padded in a copy. Kernels go
   * up to 15 × 15 and strides up to 8; where y has elements x must have some, and the other way round.
   * 
   * `moments` (float32, absent or espalier_cuda_moments_length values) receives what
   * espalier_cuda_batch_norm_train_nhwc needs of y, which it then does not have to read once more. */
  conv2dForwardNhwc(x: Storage | null, weight: Storage | null, bias: Storage | null, relu: number, y: Storage | null, moments: Storage | null, ...shape: Conv2d): void
  /** dx, plus `add` (dx's length and type) where it is not absent: another gradient of the same x. */
  conv2dDataGradNhwc(weight: Storage | null, dy: Storage | null, add: Storage | null, dx: Storage | null, ...shape: Conv2d): void
  /** dweight, of x's type or float32. */
  conv2dWeightGradNhwc(x: Storage | null, dy: Storage | null, dweight: Storage | null, ...shape: Conv2d): void
  /** Floats that describe the channels of so many rows: a mean and a sum of squares for every 128 rows. */
  momentsLength(...shape: Nhwc): number
  /** z = (x − mean) / sqrt(var + eps) · weight + bias (+ residual, where it is not absent), with each channel's own mean
   * and biased variance over the rows; y = z, or max(z, 0) where `relu` is 1. `moments` is absent, or what the
   * convolution that made x left. `mean` and `scale` receive the mean and 1 / sqrt(var + eps); the running ones are
   * those of espalier_batch_norm_train, and may be absent. `signs` (uint8, rows · channels / 8 values; absent without
   * relu) receives a bit for each element, the lowest for the first channel of eight: whether z > 0. */
  batchNormTrainNhwc(x: Storage | null, moments: Storage | null, weight: Storage | null, bias: Storage | null, residual: Storage | null, relu: number, momentum: number, eps: number, runningMean: Storage | null, runningVar: Storage | null, mean: Storage | null, scale: Storage | null, y: Storage | null, signs: Storage | null, ...shape: Nhwc): void
  /** Gradients of it: dx, dweight, dbias, and, where it is not absent, that of the residual. `signs` is absent where
   * there was no relu. dx may be dy. */
  batchNormTrainBackwardNhwc(dy: Storage | null, x: Storage | null, signs: Storage | null, weight: Storage | null, mean: Storage | null, scale: Storage | null, dx: Storage | null, dresidual: Storage | null, dweight: Storage | null, dbias: Storage | null, ...shape: Nhwc): void
  /** y = the largest value of each window, the first in reading order of equal ones; a NaN is larger than all.
   * `taps` (uint8, y's length) receives its number in the window, row · kernel_width + column; 255 (and y = −∞) for a
   * window without any value. */
  maxPool2dForwardNhwc(x: Storage | null, y: Storage | null, taps: Storage | null, ...shape: NhwcPool2d): void
  maxPool2dBackwardNhwc(dy: Storage | null, taps: Storage | null, dx: Storage | null, ...shape: NhwcPool2d): void
  /** Both at once, as networks begin: y is the largest value of each window of max(norm(x), 0), which itself is not
   * written. `rows` of x are images · height · width. `taps` is 255 where the largest is 0, whose gradient goes
   * nowhere. Otherwise as espalier_cuda_batch_norm_train_nhwc and the pooling. */
  batchNormMaxPoolTrainNhwc(x: Storage | null, moments: Storage | null, weight: Storage | null, bias: Storage | null, momentum: number, eps: number, runningMean: Storage | null, runningVar: Storage | null, mean: Storage | null, scale: Storage | null, y: Storage | null, taps: Storage | null, ...shape: NhwcPool2d): void
  batchNormMaxPoolTrainBackwardNhwc(dy: Storage | null, x: Storage | null, taps: Storage | null, weight: Storage | null, mean: Storage | null, scale: Storage | null, dx: Storage | null, dweight: Storage | null, dbias: Storage | null, ...shape: NhwcPool2d): void
  /** y [images, channels] = the mean over the positions of x [images, positions, channels], and its gradient. */
  meanPoolNhwc(images: number, positions: number, channels: number, x: Storage | null, y: Storage | null): void
  meanPoolBackwardNhwc(images: number, positions: number, channels: number, dy: Storage | null, dx: Storage | null): void
  /** Takes a number back. Runs that are queued finish: its memory serves other work behind them alone. */
  programFree(program: number): void
  /** Elements of a sample, and of the result of one. */
  programInputSize(program: number): number
  programOutputSize(program: number): number
  /** y [batch, output size] = the network of x [batch, input size], both float32 on the program's device, which has to
   * be the current one. Returns when the work is queued; the first run of a batch size prepares formats and waits for
   * them. Where it fails, y is what it was. */
  programRun(program: number, batch: number, x: Storage | null, y: Storage | null): void
  /** Measures every format of every layer on batches of this size, and runs the fastest from then on. */
  programTune(program: number, batch: number): void
  /** The file: its size in bytes, and its bytes, into the host's memory. */
  programFileSize(program: number): number
  /** What runs on what at a batch size, as espalier_program_explain tells it. Measured times are those of the host, of
   * a step from its queueing to its end. */
  programExplain(program: number, batch: number, repeats: number): string
}

export const onDeviceAlone = [
  'deviceCount',
  'setDevice',
  'device',
  'emptyCache',
  'cast',
  'synchronize',
  'streamCreate',
  'streamDestroy',
  'setStream',
  'stream',
  'waitStream',
  'setPrecision',
  'mixedSgdStep',
  'mixedAdamStep',
  'mixedRmspropStep',
  'tilesPlanSize',
  'tilesPlan',
  'tilesForward',
  'tilesDataGrad',
  'tilesWeightGrad',
  'sparseCount',
  'sparsePatternSize',
  'sparsePattern',
  'sparseGather',
  'sparseScatter',
  'sparseForward',
  'sparseDataGrad',
  'sparseWeightGrad',
  'sparseConvolutionForward',
  'sparseConvolutionDataGrad',
  'sparseConvolutionWeightGrad',
  'maskedPack',
  'maskedForward',
  'maskedDataGrad',
  'maskedWeightGrad',
  'twoFourPlacesSize',
  'twoFourCompress',
  'twoFourExpand',
  'twoFourGather',
  'twoFourForward',
  'twoFourDataGrad',
  'twoFourWeightGrad',
  'conv2dForwardNhwc',
  'conv2dDataGradNhwc',
  'conv2dWeightGradNhwc',
  'momentsLength',
  'batchNormTrainNhwc',
  'batchNormTrainBackwardNhwc',
  'maxPool2dForwardNhwc',
  'maxPool2dBackwardNhwc',
  'batchNormMaxPoolTrainNhwc',
  'batchNormMaxPoolTrainBackwardNhwc',
  'meanPoolNhwc',
  'meanPoolBackwardNhwc',
  'programFree',
  'programInputSize',
  'programOutputSize',
  'programRun',
  'programTune',
  'programFileSize',
  'programExplain',
] as const satisfies readonly (keyof CudaOperations)[]
