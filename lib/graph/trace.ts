import { insideOperation, traced } from '../autograd/index.js'
import { describe, ensure } from '../native/index.js'
import type { Module } from '../nn/index.js'
import { toDevice } from '../ops/index.js'
import { formatShape, Generator, hostValues, type Shape, Tensor } from '../tensor/index.js'
import { type Dimension, isMultiple } from './dimension.js'
import { type Argument, Graph, type Node, Value, valuesOf } from './graph.js'

export interface TraceOptions {
  /** The shape of one sample, without the batch: [1, 8, 8] for images of one channel. */
  input: Shape
}

// Two runs tell what is the same in every one: they differ in their values and in their batch size.
// Numbers that went from a·2 to a·3 are a times the batch size.
const batches = [2, 3] as const

/**
 * The operations that a model's forward pass applies to a float32 batch of samples in evaluation mode, for
 * any batch size. Operations on parameters alone (masks, weight quantisers) are done once: their results are constants.
 *
 * The forward pass is run twice, on random samples. What it decides by values cannot be seen that way, and is an
 * error where it is noticed: reading a result (`data`, `item`, `toArray`), or runs that differ.
 *
 * @throws EspalierError STATE where the forward pass depends on its values; the message names the operation
 * @example
 * ```ts
 * import { graph, nn } from 'espalier'
 * const model = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(144, 10))
 * console.log(String(graph.trace(model, { input: [1, 8, 8] })))
 * // input [n, 1, 8, 8]
 * // %1 [n, 4, 6, 6] = conv2d(input, 0.weight [4, 1, 3, 3], 0.bias [4], { … })
 * // %2 [n, 4, 6, 6] = relu(%1)
 * // %3 [n, 144] = flatten(%2, 1)
 * // %4 [n, 10] = linear(%3, 3.weight [10, 144], 3.bias [10])
 * // output %4
 * ```
 */
export function trace(model: Module, { input }: TraceOptions): Graph {
  ensure(
    Array.isArray(input) && input.every((dimension) => Number.isInteger(dimension) && dimension >= 0),
    'INVALID_ARGUMENT',
    () => `trace: input is ${describe(input)}, expected the shape of one sample`,
  )
  const names = namesOf(model)
  const modes = Array.from(model.modules(), (module) => [module, module.training] as const)
  model.eval()
  try {
    const [first, second] = batches.map((batch) => record(model, input, batch))
    return pruned(combined(first, second, names))
  } finally {
    for (const [module, mode] of modes) module.training = mode
  }
}

/** What one run did. */
interface Run {
  readonly batch: number
  readonly input: Tensor
  readonly calls: readonly { readonly op: string; readonly args: readonly unknown[]; readonly output: Tensor }[]
  readonly output: Tensor
}

function record(model: Module, shape: Shape, batch: number): Run {
  const [parameter] = model.parameters()
  const drawn = new Generator(batch).normal([batch, ...shape])
  const input = parameter === undefined ? drawn : toDevice(drawn, parameter.device)
  const calls: Run['calls'][number][] = []
  const followed = new Set<unknown>([input.storage])
  guard(input, 'the input')
  const output = traced(
    (op, args, made) => {
      calls.push({ op, args, output: made })
      if (tensorsIn(args).some(({ storage }) => followed.has(storage))) {
        followed.add(made.storage)
        guard(made, `the result of ${op}`)
      }
    },
    () => model.forward(input),
  )
  ensure(output instanceof Tensor, 'STATE', () => `trace: forward returned ${describe(output)}, expected one tensor`)
  return { batch, input, calls, output }
}

/** Makes it an error to read a tensor's values outside of operations while a graph is traced: what comes of them would be taken for a constant. */
function guard(tensor: Tensor, what: string): void {
  const refuse = (): void =>
    ensure(
      insideOperation(),
      'STATE',
      () => `trace: forward reads the values of ${what}, shape ${formatShape(tensor.shape)}; what depends on values outside of operations cannot be traced`,
    )
  Object.defineProperty(tensor, 'data', {
    get() {
      refuse()
      return tensor.storage
    },
  })
  for (const name of ['item', 'toArray', 'copy'] as const) {
    const method = tensor[name] as () => unknown
    Object.defineProperty(tensor, name, {
      value() {
        refuse()
        return method.call(tensor)
      },
    })
  }
}

/** Every parameter and buffer by its tensor. */
function namesOf(model: Module): Map<Tensor, string> {
  const names = new Map<Tensor, string>()
  for (const [name, tensor] of [...model.namedBuffers(), ...model.namedParameters()]) names.set(tensor, name)
  return names
}

/** The graph of two runs that did the same. */
function combined(first: Run, second: Run, names: ReadonlyMap<Tensor, string>): Graph {
  const values = new Map<Tensor, Value>()
  // The latest value in a storage, for tensors that share one with a result but are no result (`detach`).
  const latest = new Map<unknown, Value>()
  const known = (tensor: Tensor): Value | undefined => {
    const value = values.get(tensor) ?? latest.get(tensor.storage)
    return value !== undefined && sizesAgree(value, tensor) ? value : undefined
  }
  const put = (tensor: Tensor, value: Value): Value => {
    values.set(tensor, value)
    if (value.kind !== 'constant') latest.set(tensor.storage, value)
    return value
  }
  const dimensions = (a: Shape, b: Shape, what: string): Dimension[] => {
    ensure(a.length === b.length, 'STATE', () => `trace: ${what} has ${a.length} dimensions in one run and ${b.length} in another`)
    return a.map((dimension, d) => dimensionOf(dimension, b[d], what))
  }
  const number = (a: number, b: number, what: string): Dimension => (Object.is(a, b) ? a : dimensionOf(a, b, what))

  const argument = (a: unknown, b: unknown, what: string): Argument => {
    if (a instanceof Tensor) {
      ensure(b instanceof Tensor, 'STATE', () => differ(what, a, b))
      return known(a) ?? put(a, constant(a, b, what))
    }
    if (typeof a === 'number' && typeof b === 'number') return number(a, b, what)
    if (Array.isArray(a)) {
      ensure(Array.isArray(b) && a.length === b.length, 'STATE', () => differ(what, a, b))
      return a.map((item, i) => argument(item, b[i], `${what}[${i}]`))
    }
    if (typeof a === 'object' && a !== null) {
      ensure(typeof b === 'object' && b !== null, 'STATE', () => differ(what, a, b))
      // Objects of classes of their own (generators, sparse matrices) are handed on as they are.
      if (Object.getPrototypeOf(a) !== Object.prototype) return a as Argument
      return Object.fromEntries(Object.entries(a).map(([name, item]) => [name, argument(item, (b as Record<string, unknown>)[name], `${what}.${name}`)]))
    }
    ensure(a === b, 'STATE', () => differ(what, a, b))
    return a as string | boolean | null | undefined
  }

  const constant = (a: Tensor, b: Tensor, what: string): Value => {
    const name = names.get(a)
    if (name !== undefined && a === b) return new Value('constant', name, a.shape, a.dtype, a, a.quantisation, [name])
    ensure(
      a === b || sameValues(a, b),
      'STATE',
      () =>
        `trace: ${what} is no result of a traced operation, yet not the same in every run: it was drawn at random, or computed from the input outside of operations (argmax is such a function)`,
    )
    return new Value('constant', 'constant', a.shape, a.dtype, a, a.quantisation)
  }

  const graphInput = put(first.input, new Value('input', 'input', dimensions(first.input.shape, second.input.shape, 'the input'), 'float32'))
  const nodes: Node[] = []
  for (const [i, { op, args, output }] of first.calls.entries()) {
    const other = second.calls[i]
    ensure(
      other?.op === op,
      'STATE',
      () => `trace: forward takes another path for other values or batch sizes: operation ${i + 1} is ${op} in one run, ${other?.op ?? 'missing'} in another`,
    )
    const named = args.map((item, k) => argument(item, other.args[k], `argument ${k + 1} of ${op}`))
    const operands = valuesOf(named)
    if (operands.every(({ kind }) => kind === 'constant')) {
      ensure(sameValues(output, other.output), 'STATE', () => `trace: ${op} of constants differs from run to run: it draws at random`)
      const sources = [...new Set(operands.flatMap((value) => value.sources))]
      const name = sources.length === 0 ? 'constant' : `from ${sources.join(', ')}`
      put(output, new Value('constant', name, output.shape, output.dtype, output, output.quantisation, sources))
      continue
    }
    const shape = dimensions(output.shape, other.output.shape, `the result of ${op}`)
    const value = put(output, new Value('result', `%${nodes.length + 1}`, shape, output.dtype, null, output.quantisation))
    value.node = { op, args: named, output: value }
    nodes.push(value.node)
  }
  ensure(second.calls.length === first.calls.length, 'STATE', () => 'trace: forward takes another path for other values or batch sizes: one run is longer')
  const output = known(first.output)
  ensure(
    output !== undefined && output.kind !== 'constant',
    'STATE',
    () => 'trace: what forward returns is no result of an operation on the input (functions that give whole numbers, such as argmax, cannot be traced)',
  )
  return new Graph(graphInput, nodes, output)
}

/** Without operations that the output does not need; the others keep their order and are numbered anew. */
function pruned({ input, nodes, output }: Graph): Graph {
  const needed = new Set<Value>([output])
  for (const node of nodes.toReversed()) if (needed.has(node.output)) for (const value of valuesOf(node.args)) needed.add(value)
  const kept = nodes.filter((node) => needed.has(node.output))
  for (const [i, { output: value }] of kept.entries()) (value as { name: string }).name = `%${i + 1}`
  return new Graph(input, kept, output)
}

function dimensionOf(a: number, b: number, what: string): Dimension {
  if (a === b) return a
  const multiple = a / batches[0]
  ensure(
    Number.isInteger(multiple) && multiple > 0 && b === multiple * batches[1],
    'STATE',
    () => `trace: ${what} is ${a} in one run and ${b} in another: it depends on values, or on the batch size in another way than as a multiple`,
  )
  return { batch: multiple }
}

const differ = (what: string, a: unknown, b: unknown): string => `trace: ${what} is ${describe(a)} in one run and ${describe(b)} in another`

const sizesAgree = (value: Value, tensor: Tensor): boolean =>
  value.shape.length === tensor.rank &&
  value.shape.every((dimension, d) => (isMultiple(dimension) ? dimension.batch * batches[0] : dimension) === tensor.shape[d])

function sameValues(a: Tensor, b: Tensor): boolean {
  if (a.storage === b.storage) return true
  if (a.dtype !== b.dtype || a.rank !== b.rank || a.shape.some((dimension, d) => dimension !== b.shape[d])) return false
  const [left, right] = [hostValues(a.storage), hostValues(b.storage)]
  for (let i = 0; i < left.length; i++) if (!Object.is(left[i], right[i])) return false
  return true
}

function tensorsIn(args: unknown): Tensor[] {
  if (args instanceof Tensor) return [args]
  if (typeof args !== 'object' || args === null) return []
  return Array.isArray(args) || Object.getPrototypeOf(args) === Object.prototype ? Object.values(args).flatMap(tensorsIn) : []
}
