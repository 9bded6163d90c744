import type { Binary, Unary } from '../native/index.js'
import type { IntegerRange } from '../quant/index.js'

// A plan is what native/program runs: steps over values. Sizes and shapes are those of one sample; a value's first
// dimension is the one that grows with the batch.

/** An array that a step makes or reads. */
export class Ref {
  constructor(readonly shape: readonly number[]) {}

  /** Elements a sample. */
  get size(): number {
    return this.shape.reduce((product, dimension) => product * dimension, 1)
  }
}

/** A function of single elements, as part of a chain. */
export type Link =
  | { readonly form: 'unary'; readonly kind: Unary; readonly p: number; readonly q: number }
  | { readonly form: 'scalar'; readonly kind: Binary; readonly by: number }
  /** With an element of `by` for every `inner` elements, over and over. */
  | { readonly form: 'channel'; readonly kind: Binary; readonly by: Float32Array; readonly inner: number }
  | { readonly form: 'value'; readonly kind: Binary; readonly by: Ref }

/** A convolution's sizes, as `espalier_conv2d` has them behind n. */
export type Geometry = readonly [
  inChannels: number,
  inHeight: number,
  inWidth: number,
  outChannels: number,
  outHeight: number,
  outWidth: number,
  kernelHeight: number,
  kernelWidth: number,
  strideHeight: number,
  strideWidth: number,
  paddingTop: number,
  paddingLeft: number,
  dilationHeight: number,
  dilationWidth: number,
  groups: number,
]

/** An operand of another shape: a value, or a constant with its shape. */
export type Operand = { readonly ref: Ref; readonly dims: readonly number[] } | { readonly data: Float32Array; readonly dims: readonly number[] }

/** Weights of a step, and what has been fused into it. */
export interface Weights {
  weight: Float32Array
  bias: Float32Array | null
  relu: boolean
  /** Sums of integers, which nothing may be multiplied into. */
  readonly exact: boolean
  /** The range of the integers that x holds, where kernels of integers may take them; it contains 0. */
  readonly codes: IntegerRange | null
}

export type Work =
  | ({ readonly kind: 'linear'; readonly rows: number; readonly columns: number; readonly vectors: number } & Weights)
  | ({ readonly kind: 'conv'; readonly geometry: Geometry } & Weights)
  | { readonly kind: 'convTranspose'; readonly geometry: Geometry; readonly weight: Float32Array; readonly bias: Float32Array | null }
  | { readonly kind: 'chain'; links: readonly Link[] }
  | { readonly kind: 'broadcast'; readonly function: Binary; readonly a: Operand; readonly b: Operand }
  /** Sizes: height, width, of the output, of the kernel, of the stride, the padding, the dilation. */
  | { readonly kind: 'pool'; readonly of: 'max' | 'mean' | 'meanInside'; readonly sizes: readonly number[] }
  | { readonly kind: 'adaptivePool'; readonly of: 'max' | 'mean'; readonly sizes: readonly number[] }
  | { readonly kind: 'softmax'; readonly logarithm: boolean; readonly length: number; readonly inner: number }
  | { readonly kind: 'layerNorm'; readonly length: number; readonly weight: Float32Array | null; readonly bias: Float32Array | null; readonly eps: number }
  | { readonly kind: 'sum'; readonly dims: readonly number[]; readonly reduced: readonly number[]; readonly divisor: number }
  | { readonly kind: 'extreme'; readonly largest: boolean; readonly length: number; readonly inner: number }
  /** Elements of x by their steps from an offset, to those of y. */
  | { readonly kind: 'move'; readonly dims: readonly number[]; readonly from: View; readonly to: View }
  | { readonly kind: 'fill'; readonly value: number }
  | {
      readonly kind: 'matmul'
      readonly m: number
      readonly n: number
      readonly k: number
      readonly a: Operand
      readonly b: Operand
      readonly batch: readonly number[]
    }

export interface View {
  readonly strides: readonly number[]
  readonly offset: number
}

export interface Step {
  /** The layer whose weights it has, and the operation it stands for, as the graph names it. */
  readonly layer: string
  operation: string
  /** What it reads first; null for a step that reads operands of its own, or nothing. */
  readonly x: Ref | null
  y: Ref
  readonly work: Work
}

export interface Plan {
  readonly input: Ref
  readonly steps: readonly Step[]
  readonly output: Ref
  /** The result's shape: the value's elements may be seen in another one. */
  readonly outputShape: readonly number[]
}

/** Every value that a step reads. */
export function readsOf({ x, work }: Step): Ref[] {
  const reads = x === null ? [] : [x]
  if (work.kind === 'chain') for (const link of work.links) if (link.form === 'value') reads.push(link.by)
  if (work.kind === 'broadcast' || work.kind === 'matmul') for (const operand of [work.a, work.b]) if ('ref' in operand) reads.push(operand.ref)
  return reads
}
