import type { Op } from '../../autograd/index.js'
import { ensure } from '../../native/index.js'
import { allocate, type Shape, sameShape, Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'

// Floats that are a function of whole numbers, element by element and the same within a channel: what
// lies between an accumulator and the codes of the next quantiser. The function is the very operations of
// the forward pass, applied to other numbers, so that what it gives has the forward pass's bits.

/** Whole numbers in a slot of a program. */
export interface Operand {
  readonly slot: number
  /** All that it can hold: codes of a quantiser, or the register of an accumulator. */
  readonly range: IntegerRange
  /** Of one sample, [channels, …]. */
  readonly shape: Shape
}

export interface Expression {
  /** Of one shape all. */
  readonly operands: readonly Operand[]
  /** The value's shape, of one sample: the operands' elements in the same order. */
  readonly shape: Shape
  /** The value from its operands, whole numbers in float64 of shape [n, channels, …]. */
  readonly of: (integers: readonly Tensor[]) => Tensor
  /** The scale, of one element, where the value is its operand times that and nothing else: codes of a quantiser, sums. Else null. */
  readonly scale: Tensor | null
  /** Whether it is the same function in every channel. */
  readonly uniform: boolean
  /** Set where it is the sum of two codes of this one scale. */
  readonly sumOf?: Tensor
  /**
   * By how much its operand may seem more or less: the forward pass's value lies between those of the
   * integer less this and the integer plus this. Default 0: it is the value itself.
   */
  readonly slack?: number
}

/** What is put in place of an operation's argument: itself, or a value that is computed. */
export type Argument = { readonly value: Expression } | { readonly constant: unknown }

/**
 * Operations, beside those that round to a quantiser's grid, whose every output element depends on the elements at its place alone and, rounding
 * included, only ever grows or only ever falls with each of them. By number of the argument: those that
 * may be a value; the others are constants.
 */
const monotone: Readonly<Record<string, readonly number[]>> = {
  add: [0, 1],
  sub: [0, 1],
  mul: [0, 1],
  div: [0],
  maximum: [0, 1],
  minimum: [0, 1],
  neg: [0],
  relu: [0],
  clamp: [0],
  round: [0],
  round_to_zero: [0],
  floor: [0],
  sign: [0],
  bipolar: [0],
  cast: [0],
  batch_norm: [0],
  requantise: [0],
}

/** Those that stay so where two of their arguments are values. */
const monotoneInBoth: ReadonlySet<string> = new Set(['add', 'sub', 'maximum', 'minimum'])

/** The operation applied to values and constants; or, in words, why that is no expression. */
export function applied(op: Op<readonly never[]>, args: readonly Argument[]): Expression | string {
  const { name } = op.spec
  const places = args.flatMap((argument, i) => ('value' in argument ? i : []))
  const values = places.map((i) => (args[i] as { value: Expression }).value)
  const allowed = name.startsWith('fake_quant') ? [0] : (monotone[name] as readonly number[] | undefined)
  if (allowed === undefined || places.some((i) => !allowed.includes(i))) return `${name} is not known to be monotone in each element`
  if (values.length > 1 && !monotoneInBoth.has(name)) return `${name} of two values is not monotone in each`
  const constants = args.flatMap((argument) => ('constant' in argument ? tensorsIn(argument.constant) : []))
  if (name === 'batch_norm' && (args[3] as { constant?: { training?: boolean } } | undefined)?.constant?.training) return 'batch_norm looks at the batch'
  const [{ shape, operands }] = values
  const layout = operands[0].shape
  if (values.some((value) => !sameShape(value.shape, shape) || !sameShape(value.operands[0].shape, layout))) return `${name} repeats one value along another`
  if (!sameShape(shape, layout) && constants.some(({ size }) => size !== 1)) return `${name} has factors of its own behind a change of shape`
  const all = [...new Map(values.flatMap((value) => value.operands).map((operand) => [operand.slot, operand])).values()]
  if (all.length < values.reduce((count, value) => count + value.operands.length, 0)) return `${name} meets the same integers twice`
  const slack = Math.max(...values.map((value) => value.slack ?? 0))
  if (slack > 0 && values.length > 1) return `${name} joins a mean and another value`
  const expression: Expression = {
    operands: all,
    shape,
    scale: null,
    uniform: values.every(({ uniform }) => uniform) && constants.every(({ size }) => size === 1),
    slack,
    ...(name === 'add' && values.length === 2 && sameScale(values[0].scale, values[1].scale) ? { sumOf: values[0].scale as Tensor } : {}),
    of(integers) {
      const given = (value: Expression): Tensor => value.of(value.operands.map(({ slot }) => integers[all.findIndex((operand) => operand.slot === slot)]))
      return op(...(args.map((argument) => ('value' in argument ? given(argument.value) : argument.constant)) as never[]))
    },
  }
  const probe = probed(
    expression,
    all.map(({ range }) => range.min),
  )
  return sameShape(probe.shape, [1, channelsOf(expression), ...layout.slice(1).map(() => 1)]) ? expression : `${name} has factors that differ within a channel`
}

export const sameScale = (a: Tensor | null, b: Tensor | null): boolean => a !== null && b !== null && a.size === 1 && b.size === 1 && a.item() === b.item()

/** How many channels have to be asked: one where all are the same. */
export const channelsOf = ({ uniform, operands }: Expression): number => (uniform ? 1 : operands[0].shape[0])

/** The value at one integer an operand, in every channel: [1, channels, 1, …]. */
export const probed = (expression: Expression, at: readonly number[]): Tensor =>
  expression.of(expression.operands.map((operand, i) => probe(operand, channelsOf(expression), new Float64Array(channelsOf(expression)).fill(at[i]))))

/** Whole numbers for an operand, a row of channels after the other, shaped for an expression: [rows, channels, 1, …]. */
export function probe({ shape }: Operand, channels: number, values: Float64Array): Tensor {
  const storage = allocate('float64', values.length)
  storage.set(values as never)
  return new Tensor(storage, [channels === 0 ? 0 : values.length / channels, channels, ...shape.slice(1).map(() => 1)], 'float64')
}

/** Which way a value goes as its only operand grows, a channel each: 1, or −1 where it falls. */
export function directions(expression: Expression): Int8Array {
  ensure(expression.operands.length === 1, 'INTERNAL', () => 'directions: expected one operand')
  const { min, max } = expression.operands[0].range
  const [low, high] = [probed(expression, [min]).data, probed(expression, [max]).data]
  return Int8Array.from({ length: low.length }, (_, channel) => (low[channel] <= high[channel] ? 1 : -1))
}

function tensorsIn(value: unknown): Tensor[] {
  if (value instanceof Tensor) return [value]
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).filter((item): item is Tensor => item instanceof Tensor)
}
