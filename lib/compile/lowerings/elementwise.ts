import { type Value, Value as ValueClass } from '../../graph/index.js'
import { Binary, Unary } from '../../native/index.js'
import type { Lower, Lowering } from '../lower.js'
import type { Link, Operand, Ref } from '../plan.js'

/** A function of one element; its parameters from the call's arguments. */
const unary =
  (kind: Unary, parameters: (args: readonly unknown[]) => readonly [p: number, q?: number] = () => [0]): Lower =>
  (of) => {
    const [p, q = 0] = parameters(of.node.args)
    return of.emit(of.ref(of.value(0)), { kind: 'chain', links: [{ form: 'unary', kind, p, q }] })
  }

/** A function of two operands, of which one may be a number or a constant. */
const binary =
  (kind: Binary): Lower =>
  (of) => {
    const [a, b] = of.node.args as [Value, Value | number]
    const link = a.kind === 'constant' ? null : linkTo(of, kind, a, b)
    if (link !== null) return of.emit(of.ref(a), { kind: 'chain', links: [link] })
    const operands = [a, b as Value].map((value) => operandOf(of, value))
    return of.emit(null, { kind: 'broadcast', function: kind, a: operands[0], b: operands[1] })
  }

/** The second operand as a link of a chain, where it is a number, of a's shape, or constant along a run of dimensions. */
function linkTo(of: Lowering, kind: Binary, a: Value, b: Value | number): Link | null {
  if (typeof b === 'number') return { form: 'scalar', kind, by: b }
  const dims = of.dims(a)
  if (b.kind !== 'constant') return sameDims(dims, of.dims(b)) ? { form: 'value', kind, by: of.ref(b) } : null
  const data = of.constant(b)
  if (data.length === 1 && b.shape.length <= dims.length) return { form: 'scalar', kind, by: data[0] }
  const inner = innerOf(dims, b.shape as readonly number[])
  return inner === null ? null : { form: 'channel', kind, by: data, inner }
}

const sameDims = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((dimension, d) => dimension === b[d])

/**
 * Where a constant's dimensions other than 1 are neighbours and equal to the value's: the elements behind them. Never
 * along the first dimension, which grows.
 */
function innerOf(dims: readonly number[], constant: readonly number[]): number | null {
  const lead = dims.length - constant.length
  if (lead < 0 || (lead === 0 && constant[0] !== 1)) return null
  const same = dims.map((dimension, d) => d >= lead && constant[d - lead] !== 1 && constant[d - lead] === dimension)
  const stretched = dims.map((_, d) => d < lead || constant[d - lead] === 1)
  if (dims.some((_, d) => !same[d] && !stretched[d])) return null
  const first = same.indexOf(true)
  const last = same.lastIndexOf(true)
  for (let d = first; d <= last; d++) if (!same[d] && dims[d] !== 1) return null
  return dims.slice(last + 1).reduce((product, dimension) => product * dimension, 1)
}

/** An operand with a shape of its own. */
export function operandOf(of: Lowering, value: Value, trailing = 0): Operand {
  if (!(value instanceof ValueClass)) throw of.refusal('its second operand is no tensor')
  const dims = value.kind === 'constant' ? (value.shape as readonly number[]) : of.dims(value)
  const leading = dims.slice(0, dims.length - trailing)
  if (value.kind !== 'constant') return { ref: of.ref(value), dims: leading }
  const rank = of.node.output.shape.length
  if (dims.length === rank && dims[0] !== 1 && leading.length > 0)
    throw of.refusal(`a constant of shape [${dims.join(', ')}] meets the batch in its first dimension`)
  return { data: of.constant(value), dims: leading }
}

type Codes = { min: number; max: number }

const fakeQuant: Lower = (of) => {
  const [x, scale, codes, zero] = of.node.args as [Value, Value, Codes, Value?]
  return rounded(of, x, scale, codes, zero)
}

/** The same in one operation with what finds the scale. */
const fakeQuantByThreshold: Lower = (of) => {
  const [x, , { scale }, codes] = of.node.args as [Value, Value, { scale: Value }, Codes]
  return rounded(of, x, scale, codes)
}

/**
 * Codes: x / scale + zero, rounded, clamped, and counted from zero; real values are codes times the scale. As the
 * kernel does it, step by step.
 */
function rounded(of: Lowering, x: Value, scale: Value, { min, max }: Codes, zero?: Value | null): Ref {
  const scales = of.constant(scale)
  const by = (kind: Binary): Link => {
    if (scales.length === 1) return { form: 'scalar', kind, by: scales[0] }
    const dims = of.dims(x)
    const inner = scale.shape.length === dims.length ? innerOf(dims, scale.shape as readonly number[]) : null
    if (inner === null) throw of.refusal('its scales are not one a channel')
    return { form: 'channel', kind, by: scales, inner }
  }
  const round: Link[] = [
    { form: 'unary', kind: Unary.round, p: 0, q: 0 },
    { form: 'unary', kind: Unary.clamp, p: min, q: max },
  ]
  const from = of.optional(zero)
  if (from !== null && from.length !== 1) throw of.refusal('it has a zero point for each channel')
  const code: Link[] = from === null ? round : [{ form: 'scalar', kind: Binary.add, by: from[0] }, ...round, { form: 'scalar', kind: Binary.sub, by: from[0] }]
  return of.emit(of.ref(x, 'real'), { kind: 'chain', links: [by(Binary.div), ...code, ...(of.form === 'real' ? [by(Binary.mul)] : [])] })
}

/** Sums times a multiplier a channel, rounded, clamped: codes that are the values themselves. */
const requantise: Lower = (of) => {
  const [sums, logMultiplier, { max }] = of.node.args as [Value, Value, { max: number }]
  const inner = of.outDims.slice(2).reduce((product, dimension) => product * dimension, 1)
  return of.emit(of.ref(sums, 'real'), {
    kind: 'chain',
    links: [
      { form: 'channel', kind: Binary.mul, by: Float32Array.from(of.constant(logMultiplier), Math.exp), inner },
      { form: 'unary', kind: Unary.round, p: 0, q: 0 },
      { form: 'unary', kind: Unary.clamp, p: 0, q: max },
    ],
  })
}

/** The operation gives its operand back. */
const identity: Lower = (of) => of.ref(of.value(0))

const dropout: Lower = (of) => {
  const { training = true, p = 0.5 } = (of.node.args[1] ?? {}) as { training?: boolean; p?: number }
  if (training && p > 0) throw of.refusal('it drops at random')
  return identity(of)
}

const cast: Lower = (of) => {
  if (of.value(0).dtype !== 'float32' || of.node.args[1] !== 'float32') throw of.refusal('a program computes in float32')
  return identity(of)
}

const batchNorm: Lower = (of) => {
  const [, weight, bias, { runningMean, runningVar, training, eps = 1e-5 } = {}] = of.node.args as [
    Value,
    Value?,
    Value?,
    { runningMean?: Value | null; runningVar?: Value | null; training?: boolean; eps?: number }?,
  ]
  if (training || !runningMean || !runningVar) throw of.refusal('it normalises by the statistics of the batch')
  const [mean, variance] = [of.constant(runningMean), of.constant(runningVar)]
  const [by, plus] = [of.optional(weight), of.optional(bias)]
  const factor = Float64Array.from(variance, (value, c) => (by === null ? 1 : by[c]) / Math.sqrt(value + eps))
  const shift = Float32Array.from(mean, (value, c) => (plus === null ? 0 : plus[c]) - value * factor[c])
  const inner = of.outDims.slice(2).reduce((product, dimension) => product * dimension, 1)
  const x: Ref = of.ref(of.value(0))
  return of.emit(x, {
    kind: 'chain',
    links: [
      { form: 'channel', kind: Binary.mul, by: Float32Array.from(factor), inner },
      { form: 'channel', kind: Binary.add, by: shift, inner },
    ],
  })
}

const number = (value: unknown, otherwise: number): number => (value === null || value === undefined ? otherwise : (value as number))

export const elementwise: Record<string, Lower> = {
  abs: unary(Unary.abs),
  clamp: unary(Unary.clamp, ([, min, max]) => [number(min, -Infinity), number(max, Infinity)]),
  elu: unary(Unary.elu, ([, alpha]) => [number(alpha, 1)]),
  exp: unary(Unary.exp),
  gelu: unary(Unary.gelu),
  leaky_relu: unary(Unary.leakyRelu, ([, slope]) => [number(slope, 0.01)]),
  log: unary(Unary.log),
  neg: unary(Unary.neg),
  pow: unary(Unary.pow, ([, exponent]) => [exponent as number]),
  relu: unary(Unary.relu),
  round: unary(Unary.round),
  sigmoid: unary(Unary.sigmoid),
  sign: unary(Unary.sign),
  silu: unary(Unary.silu),
  sqrt: unary(Unary.sqrt),
  square: unary(Unary.square),
  tanh: unary(Unary.tanh),
  add: binary(Binary.add),
  sub: binary(Binary.sub),
  mul: binary(Binary.mul),
  div: binary(Binary.div),
  maximum: binary(Binary.maximum),
  minimum: binary(Binary.minimum),
  fake_quant: fakeQuant,
  fake_quant_by_threshold: fakeQuantByThreshold,
  requantise,
  batch_norm: batchNorm,
  cast,
  dropout,
  to_device: identity,
}
