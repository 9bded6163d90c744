import type { DType, Quantisation, Tensor } from '../tensor/index.js'
import { type Dimension, formatDimension, formatDimensions, isMultiple } from './dimension.js'

/** An array that flows through a graph. */
export class Value {
  /** The operation that makes it; null for the input and for constants. */
  node: Node | null = null

  constructor(
    readonly kind: 'input' | 'constant' | 'result',
    /** Of a constant: the parameter or buffer it is, or those it was computed from. Of others what the graph prints. */
    readonly name: string,
    readonly shape: readonly Dimension[],
    readonly dtype: DType,
    /** A constant's values, which the graph shares with the model; null for others. */
    readonly tensor: Tensor | null = null,
    /** The integer codes behind the values, where a quantiser made them. */
    readonly quantisation: Quantisation | null = null,
    /** Names of the parameters and buffers behind a constant. */
    readonly sources: readonly string[] = [],
  ) {}
}

/** An argument of an operation as it was called, with values in the place of tensors; objects of classes of their own are themselves. */
export type Argument = Value | Dimension | string | boolean | null | undefined | readonly Argument[] | { readonly [name: string]: Argument }

/** One operation of a graph. */
export interface Node {
  /** The operation's name, as its `defineOp` says it. */
  readonly op: string
  readonly args: readonly Argument[]
  readonly output: Value
}

/** What a model's forward pass computes: operations in an order in which they can be run. */
export class Graph {
  constructor(
    readonly input: Value,
    readonly nodes: readonly Node[],
    readonly output: Value,
  ) {}

  /** A line an operation, as `trace` documents. */
  toString(): string {
    return formatGraph(this)
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString()
  }
}

/** The values among an operation's arguments, in order. */
export function valuesOf(argument: Argument | readonly Argument[]): Value[] {
  if (argument instanceof Value) return [argument]
  if (!isPlain(argument)) return []
  return Object.values(argument as Record<string, Argument>).flatMap(valuesOf)
}

function formatGraph({ input, nodes, output }: Graph): string {
  const operation = ({ op, args, output: { name, shape } }: Node): string =>
    `${name} ${formatDimensions(shape)} = ${op}(${trimmed(args).map(formatArgument).join(', ')})`
  return [`${input.name} ${formatDimensions(input.shape)}`, ...nodes.map(operation), `output ${output.name}`].join('\n')
}

/** Without what was left out at the end of a call. */
function trimmed(args: readonly Argument[]): readonly Argument[] {
  const last = args.findLastIndex((argument) => argument !== undefined)
  return args.slice(0, last + 1)
}

function formatArgument(argument: Argument): string {
  if (argument instanceof Value) return argument.kind === 'constant' ? `${argument.name} ${formatDimensions(argument.shape)}` : argument.name
  if (isMultiple(argument)) return formatDimension(argument)
  if (typeof argument === 'string') return `'${argument}'`
  if (Array.isArray(argument)) return `[${argument.map(formatArgument).join(', ')}]`
  if (isPlain(argument))
    return `{ ${Object.entries(argument)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => `${name}: ${formatArgument(value)}`)
      .join(', ')} }`
  return typeof argument === 'object' && argument !== null ? (argument as object).constructor.name : String(argument)
}

/** An array, or an object of no class of its own. */
const isPlain = (value: unknown): value is object =>
  Array.isArray(value) || (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
