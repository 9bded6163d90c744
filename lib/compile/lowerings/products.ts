import type { Value } from '../../graph/index.js'
import { SparseMatrix } from '../../kernels/index.js'
import { Binary } from '../../native/index.js'
import { type Pair, paddingOf, pairOf } from '../../ops/convolution.js'
import type { IntegerRange } from '../../quant/index.js'
import type { Lower, Lowering } from '../lower.js'
import type { Geometry, Link, Ref, Weights, Work } from '../plan.js'
import { operandOf } from './elementwise.js'

/** The exact sums of a quantised layer: products of codes, and what scales them afterwards. */
interface Integers {
  readonly x: Ref
  readonly weight: Float32Array
  readonly bias: Float32Array | null
  readonly codes: IntegerRange | null
  readonly links: readonly Link[]
}

/** The smallest and the largest that any part of any row's sum bias + Σ qᵢ·xᵢ can be, added in any order. */
function partsOf(weights: Float32Array, bias: Float32Array | null, rows: number, { min, max }: IntegerRange): IntegerRange {
  const parts = { min: 0, max: 0 }
  const run = rows === 0 ? 0 : weights.length / rows
  for (let row = 0; row < rows; row++) {
    let low = Math.min(0, bias?.[row] ?? 0)
    let high = Math.max(0, bias?.[row] ?? 0)
    for (let i = row * run; i < (row + 1) * run; i++) {
      const [one, other] = [weights[i] * min, weights[i] * max]
      low += Math.min(0, one, other)
      high += Math.max(0, one, other)
    }
    parts.min = Math.min(parts.min, low)
    parts.max = Math.max(parts.max, high)
  }
  return parts
}

/** What kernels of integers take: weights of a signed byte, codes of a byte with a sign or without, sums of 32 bits. */
const isNarrow = (weights: Float32Array, codes: IntegerRange, sums: IntegerRange): boolean =>
  weights.every((value) => value >= -128 && value <= 127) &&
  codes.min >= -128 &&
  codes.max <= (codes.min < 0 ? 127 : 255) &&
  sums.min >= -(2 ** 31) &&
  sums.max < 2 ** 31

/**
 * A layer on quantised inputs and weights as sums of integers, where they are exact: then they do not depend on the
 * order of the sums, nor on the instruction set. Kernels of integers hold those of 32 bits, float32 those up to 2²⁴.
 * The same steps behind the sums as the evaluation of quantised layers has, and so the same bits: it sums in
 * float64 where float32 does not do, and rounds that once.
 */
function integersOf(of: Lowering, x: Value, weight: Value, bias: Value | null, inner: number): Integers | null {
  const [from, by] = [x.quantisation, weight.quantisation]
  if (from === null || by === null || from.scale.size !== 1) return null
  const weights = of.constant(weight)
  const rows = weight.shape[0] as number
  const scales = Float32Array.from(by.scale.data)
  if (scales.length !== 1 && scales.length !== rows) return null
  const run = weights.length / scales.length
  // (Never −0, which no byte holds.)
  const codes = weights.map((value, i) => Math.round(value / scales[Math.floor(i / run)]) + 0)
  // As float32 multiplies them.
  const unit = scales.map((scale) => Math.fround(from.scale.data[0] * scale))
  const values = bias === null ? null : of.constant(bias)
  // A bias on the grid of the sums was added to them; another one is added behind the scale.
  const onGrid = values?.map((value, r) => Math.round(value / unit[unit.length === 1 ? 0 : r])) ?? null
  const integral =
    values === null || onGrid === null || values.every((value, r) => Math.fround(onGrid[r] * unit[unit.length === 1 ? 0 : r]) === Math.fround(value))
  const range = { min: from.min, max: from.max }
  const sums = partsOf(codes, integral ? onGrid : null, rows, range)
  const narrow = isNarrow(codes, range, sums)
  if (!narrow && Math.max(-sums.min, sums.max) > 2 ** 24) return null
  const input = of.codes(x)
  if (input === null) return null
  const scaled: Link = unit.length === 1 ? { form: 'scalar', kind: Binary.mul, by: unit[0] } : { form: 'channel', kind: Binary.mul, by: unit, inner }
  const links: Link[] = integral || values === null ? [scaled] : [scaled, { form: 'channel', kind: Binary.add, by: values, inner }]
  return { x: input, weight: codes, bias: integral ? onGrid : null, codes: narrow ? range : null, links }
}

const real = (weight: Float32Array, bias: Float32Array | null): Weights => ({ weight, bias, relu: false, exact: false, codes: null })

type Weighted = Extract<Work, { kind: 'linear' | 'conv' }>
type Shape = Weighted extends infer W ? (W extends Weighted ? Omit<W, keyof Weights> : never) : never

/** A linear layer or convolution: on integers, or as it is. */
function product(of: Lowering, x: Value, weight: Value, bias: Value | null, inner: number, shape: Shape): Ref {
  const integers = integersOf(of, x, weight, bias, inner)
  if (integers !== null) {
    const { x: from, links, ...weights } = integers
    const sums = of.emit(from, { ...shape, ...weights, relu: false, exact: true })
    return of.emit(sums, { kind: 'chain', links }, { operation: 'scale' })
  }
  return of.emit(of.ref(x, 'real'), { ...shape, ...real(of.constant(weight), of.optional(bias)) })
}

const vectorsOf = (dims: readonly number[]): number => dims.slice(0, -1).reduce((count, dimension) => count * dimension, 1)

const linear: Lower = (of) => {
  const [, weight, bias = null] = of.node.args as [Value, Value, Value | null | undefined]
  const x = of.value(0)
  const [rows, columns] = weight.shape as number[]
  return product(of, x, weight, bias, 1, { kind: 'linear', rows, columns, vectors: vectorsOf(of.dims(x)) })
}

/** Kept weights and where they stand, as the dense matrix that they are part of. */
const sparseLinear: Lower = (of) => {
  const [, values, matrix, bias = null, rectified = false] = of.node.args as [Value, Value, unknown, Value | null | undefined, boolean | undefined]
  if (!(matrix instanceof SparseMatrix)) throw of.refusal('its matrix is unknown')
  const x = of.value(0)
  const weight = new Float32Array(matrix.rows * matrix.columns)
  const kept = of.constant(values)
  for (const [i, position] of matrix.positions().entries()) weight[position] = kept[i]
  const shape = { kind: 'linear', rows: matrix.rows, columns: matrix.columns, vectors: vectorsOf(of.dims(x)) } as const
  return of.emit(of.ref(x), { ...shape, ...real(weight, of.optional(bias)), relu: rectified }, rectified ? { operation: 'sparse_linear, relu' } : undefined)
}

interface ConvCall {
  stride?: Pair
  padding?: Pair | 'same' | 'valid'
  dilation?: Pair
  groups?: number
}

const conv2d: Lower = (of) => {
  const [, weight, bias = null, options = {}] = of.node.args as [Value, Value, Value | null | undefined, ConvCall | undefined]
  const x = of.value(0)
  const [, channels, height, width] = of.dims(x)
  const [out, , kernelHeight, kernelWidth] = weight.shape as number[]
  const [, , outHeight, outWidth] = of.outDims
  const [strideHeight, strideWidth] = pairOf('conv2d', 'stride', options.stride ?? 1, 1)
  const [dilationHeight, dilationWidth] = pairOf('conv2d', 'dilation', options.dilation ?? 1, 1)
  const padding = options.padding ?? 0
  const [padHeight, padWidth] = typeof padding === 'string' ? [padding, padding] : pairOf('conv2d', 'padding', padding, 0)
  const [top] = paddingOf('conv2d', padHeight, kernelHeight, strideHeight, dilationHeight)
  const [left] = paddingOf('conv2d', padWidth, kernelWidth, strideWidth, dilationWidth)
  return convolution(of, x, weight, bias, [
    ...[channels, height, width, out, outHeight, outWidth, kernelHeight, kernelWidth],
    ...[strideHeight, strideWidth, top, left, dilationHeight, dilationWidth, options.groups ?? 1],
  ] as unknown as Geometry)
}

const conv1d: Lower = (of) => {
  const [, weight, bias = null, options = {}] = of.node.args as [Value, Value, Value | null | undefined, (ConvCall & { padding?: number | string }) | undefined]
  const { stride = 1, padding = 0, dilation = 1, groups = 1 } = options as { stride?: number; padding?: number | string; dilation?: number; groups?: number }
  const x = of.value(0)
  const [, channels, length] = of.dims(x)
  const [out, , kernel] = weight.shape as number[]
  const [left] = paddingOf('conv1d', padding, kernel, stride, dilation)
  return convolution(of, x, weight, bias, [channels, 1, length, out, 1, of.outDims[2], 1, kernel, 1, stride, 0, left, 1, dilation, groups])
}

/** One whose kernel covers all of a plane without a border is a linear layer of the planes' elements. */
function convolution(of: Lowering, x: Value, weight: Value, bias: Value | null, geometry: Geometry): Ref {
  const [channels, height, width, out, outHeight, outWidth, kernelHeight, kernelWidth, , , top, left, , , groups] = geometry
  const plane = outHeight * outWidth
  const whole = plane === 1 && kernelHeight === height && kernelWidth === width && top === 0 && left === 0 && groups === 1
  const shape: Shape = whole ? { kind: 'linear', rows: out, columns: channels * height * width, vectors: of.dims(x)[0] } : { kind: 'conv', geometry }
  return product(of, x, weight, bias, plane, shape)
}

const convTranspose2d: Lower = (of) => {
  const [, weight, bias = null, options = {}] = of.node.args as [Value, Value, Value | null | undefined, ConvCall | undefined]
  const x = of.value(0)
  const [, channels, height, width] = of.dims(x)
  const [, out, outHeight, outWidth] = of.outDims
  const [, , kernelHeight, kernelWidth] = weight.shape as number[]
  const [strideHeight, strideWidth] = pairOf('convTranspose2d', 'stride', options.stride ?? 1, 1)
  const [dilationHeight, dilationWidth] = pairOf('convTranspose2d', 'dilation', options.dilation ?? 1, 1)
  const [top, left] = pairOf('convTranspose2d', 'padding', options.padding as Pair, 0)
  // Of the convolution that it is the adjoint of: that one reads our output.
  const geometry: Geometry = [
    ...[out, outHeight, outWidth, channels, height, width, kernelHeight, kernelWidth],
    ...[strideHeight, strideWidth, top, left, dilationHeight, dilationWidth, options.groups ?? 1],
  ] as unknown as Geometry
  return of.emit(of.ref(x, 'real'), { kind: 'convTranspose', geometry, weight: of.constant(weight), bias: of.optional(bias) })
}

const matmul: Lower = (of) => {
  const [a, b] = of.node.args as [Value, Value]
  if (a.kind !== 'constant' && b.kind === 'constant' && b.shape.length === 2 && a.shape.length >= 2) {
    const [columns, rows] = b.shape as number[]
    const given = of.constant(b)
    const weight = Float32Array.from({ length: given.length }, (_, i) => given[(i % columns) * rows + Math.floor(i / columns)])
    return of.emit(of.ref(a), { kind: 'linear', rows, columns, vectors: vectorsOf(of.dims(a)), ...real(weight, null) })
  }
  if (a.shape.length < 3 || b.shape.length < 3) throw of.refusal('matrices that depend on the input stand behind the batch, in three dimensions or more')
  const rank = Math.max(a.shape.length, b.shape.length)
  const operands = [a, b].map((value) => {
    const operand = operandOf(of, value, 2)
    if ('ref' in operand && value.shape.length < rank) throw of.refusal('its operands differ in rank')
    return { ...operand, dims: [...new Array<number>(rank - 2 - operand.dims.length).fill(1), ...operand.dims] }
  })
  const size = (value: Value, place: number): number => value.shape.at(place) as number
  return of.emit(null, {
    kind: 'matmul',
    m: size(a, -2),
    k: size(a, -1),
    n: size(b, -1),
    a: operands[0],
    b: operands[1],
    batch: of.outDims.slice(0, -2),
  })
}

export const products: Record<string, Lower> = {
  linear,
  sparse_linear: sparseLinear,
  conv1d,
  conv2d,
  conv_transpose2d: convTranspose2d,
  matmul,
}
