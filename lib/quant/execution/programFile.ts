import type { Conv2d } from '../../native/index.js'
import { hostValues, type Shape, Tensor } from '../../tensor/index.js'
import type { ProgramParts, Step } from './program.js'

// A program in plain numbers, for those who run it elsewhere: every step is integers alone.

/** Geometry of sums of products, for one sample: see `espalier_conv2d` in the C header, whose fields these are. */
export interface GeometryFile {
  readonly inChannels: number
  readonly inHeight: number
  readonly inWidth: number
  readonly outChannels: number
  readonly outHeight: number
  readonly outWidth: number
  readonly kernelHeight: number
  readonly kernelWidth: number
  readonly strideHeight: number
  readonly strideWidth: number
  readonly paddingTop: number
  readonly paddingLeft: number
  readonly dilationHeight: number
  readonly dilationWidth: number
  readonly groups: number
}

export type StepFile =
  | {
      readonly kind: 'product'
      readonly name: string
      readonly from: number
      readonly to: number
      readonly geometry: GeometryFile
      /** Row-major, [outChannels, inChannels / groups, kernelHeight, kernelWidth]. */
      readonly weights: readonly number[]
      readonly bias: readonly number[] | null
    }
  | {
      /** code = base + how many edges of its channel's row sign · x has reached; the row is 0, or that of the second slot's value. */
      readonly kind: 'codes'
      readonly from: number
      readonly second: number | null
      readonly to: number
      /** Those with staircases of their own; 1 where all have the same. */
      readonly channels: number
      /** Elements of such a channel in a row of the slot. */
      readonly inner: number
      readonly base: number
      /** Staircases a channel, and the value of the second slot that the first belongs to. */
      readonly rows: number
      readonly rowFrom: number
      readonly sign: readonly number[]
      /** [channels, rows, edges], ascending. */
      readonly edges: readonly number[]
    }
  | { readonly kind: 'sum'; readonly from: number; readonly second: number; readonly to: number }
  | {
      /** The operation of that name on integers; where sign is −1, on their negatives, turned back after it. */
      readonly kind: 'select'
      readonly name: string
      readonly options: readonly unknown[]
      readonly from: number
      readonly to: number
      readonly sign: readonly number[] | null
    }

/** An integer program as JSON. Slots hold whole numbers, one sample after the other, each row-major. */
export interface ProgramFile {
  readonly format: 'espalier-integers'
  readonly version: 1
  /** Slot 0: codes of the input, clamp(round(x / scale), min, max), halves to even. */
  readonly input: { readonly shape: Shape; readonly min: number; readonly max: number; readonly scale: readonly number[] }
  /** What each slot holds of one sample, and within which range. */
  readonly slots: readonly { readonly shape: Shape; readonly min: number; readonly max: number }[]
  readonly steps: readonly StepFile[]
  /** The slots that the outputs are computed from. */
  readonly output: readonly number[]
}

export function programFile({ input, slots, quantiser, steps, output }: ProgramParts): ProgramFile {
  const { scale, min, max } = quantiser.quantisation
  return {
    format: 'espalier-integers',
    version: 1,
    input: { shape: input, min, max, scale: Array.from(hostValues(scale.storage)) },
    slots: slots.map(({ shape, range }) => ({ shape, min: range.min, max: range.max })),
    steps: steps.map(stepFile),
    output: output.operands.map(({ slot }) => slot),
  }
}

function stepFile(step: Step): StepFile {
  const { from, to } = step
  if (step.kind === 'product') {
    const { name, weights, bias } = step.layer
    return { kind: 'product', name, from, to, geometry: geometryFile(step.geometry), weights: Array.from(weights), bias: bias && Array.from(bias) }
  }
  if (step.kind === 'codes') {
    const { channels, base, rows, rowFrom, sign, edges } = step.table
    return { kind: 'codes', from, second: step.second, to, channels, inner: step.inner, base, rows, rowFrom, sign: Array.from(sign), edges: Array.from(edges) }
  }
  if (step.kind === 'sum') return { kind: 'sum', from, second: step.second, to }
  const options = step.options.map((option) => (option instanceof Tensor ? option.toArray() : option))
  return { kind: 'select', name: step.name, options, from, to, sign: step.sign && Array.from(step.sign) }
}

function geometryFile(geometry: Conv2d): GeometryFile {
  const [, inChannels, inHeight, inWidth, outChannels, outHeight, outWidth, kernelHeight, kernelWidth, ...rest] = geometry
  const [strideHeight, strideWidth, paddingTop, paddingLeft, dilationHeight, dilationWidth, groups] = rest
  return {
    ...{ inChannels, inHeight, inWidth, outChannels, outHeight, outWidth, kernelHeight, kernelWidth },
    ...{ strideHeight, strideWidth, paddingTop, paddingLeft, dilationHeight, dilationWidth, groups },
  }
}
