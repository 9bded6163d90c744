import { noGrad, type Op, operations, traced } from '../../autograd/index.js'
import { EspalierError, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { cast, mul, reshape } from '../../ops/index.js'
import { formatShape, type Quantisation, randn, type Shape, sameShape, Tensor, tensor } from '../../tensor/index.js'
import { accumulatorBound } from '../accumulators/bounds.js'
import { integerLayer, type LayerCall, recordingLayers, wholeNumbers } from '../integer.js'
import { bitsFor, type IntegerRange } from '../range.js'
import { type Argument, applied, directions, type Expression, type Operand } from './expression.js'
import { geometryOf } from './geometry.js'
import { IntegerProgram, type ProgramParts, type Step } from './program.js'
import { searchedAndListed, stepTable } from './stepTable.js'

// A forward pass, read as a program on integers. Every tensor that depends on the input is one of three
// things: floats in front of the first quantiser, an expression of integers, or floats that are no such
// expression. Where a quantiser has left codes, the expression becomes a staircase.

export interface IntegerNetworkOptions {
  /** Some inputs [n, …], or the shape of one: the forward pass is read from these, and the program tried on them. */
  input: Tensor | Shape
}

/**
 * A frozen network as a program that runs on integers alone. Its products are those of integer codes, and
 * between an accumulator and the next codes there are comparisons with integers, found by asking the
 * forward pass where its codes change: the outputs are the forward pass's, bit for bit, batch norms and
 * float biases included. In front of the first quantiser and behind the last integers stay floats.
 *
 * What lies between an accumulator and the next quantiser may be scales, biases, batch norms, ReLU and
 * whatever else is monotone element by element, sums with other codes (residual connections), maxima of
 * windows, and changes of shape.
 *
 * @throws EspalierError STATE for a model that trains or that has a layer with inputs that are not
 *   quantised; INVALID_ARGUMENT for one with a part that has no integer form, which is named
 * @example
 * ```ts
 * import { nn, noGrad, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 4, signed: false }),
 *   new qnn.QuantLinear(16, 8, { weightBits: 4 }),
 *   new qnn.QuantReLU({ bits: 4 }),
 *   new qnn.QuantLinear(8, 3, { weightBits: 4, biasBits: 8 }),
 * )
 * model.forward(rand([32, 16]))
 * const program = quant.integerNetwork(quant.freeze(model), { input: [16] })
 * const x = rand([5, 16])
 * const { output, integers } = program.run(x) // output: exactly model.forward(x); integers: accumulators [5, 3]
 * const narrow = program.run(x, { registers: { bits: 8, overflow: 'saturate' } })
 * narrow.overflows // for each layer that had any: how many, of how many neurons, and the first
 * ```
 */
export function integerNetwork(model: Module, { input }: IntegerNetworkOptions): IntegerProgram {
  const training = [...model.namedModules()].find(([, module]) => module.training)
  ensure(training === undefined, 'STATE', () => `integerNetwork: ${training?.[0] || 'the model'} is in training mode; freeze the model first`)
  const x = input instanceof Tensor ? input.detach() : randn([4, ...input])
  ensure(x.rank >= 2 && x.shape[0] > 0, 'SHAPE_MISMATCH', () => `integerNetwork: input has shape ${formatShape(x.shape)}, expected some samples [n, …]`)
  const reader = new Reader(model, x)
  const output = noGrad(() =>
    traced(
      (name, args, made) => reader.operation(name, args, made),
      () =>
        recordingLayers(
          (call) => reader.layer(call),
          () => model.forward(x),
        ),
    ),
  )
  const program = new IntegerProgram(reader.finish(output))
  const again = noGrad(() => program.run(x).output)
  ensure(
    sameShape(again.shape, output.shape) && again.data.every((value: number, i: number) => Object.is(value + 0, output.data[i] + 0)),
    'INTERNAL',
    () => 'integerNetwork: the program does not give what the forward pass gives',
  )
  return program
}

type Value =
  | { readonly kind: 'input'; readonly of: (x: Tensor) => Tensor }
  | { readonly kind: 'integers'; readonly expression: Expression }
  | { readonly kind: 'floats'; readonly operands: readonly Operand[]; readonly of: (integers: readonly Tensor[]) => Tensor; readonly because: string }

/** What is known of each argument of an operation; of an array, of each item. */
type Found = readonly (Value | undefined | (Value | undefined)[])[]

const shapeless: ReadonlySet<string> = new Set(['reshape', 'flatten'])
const maxima: ReadonlySet<string> = new Set(['max_pool1d', 'max_pool2d'])

class Reader {
  private readonly values = new Map<Tensor, Value>()
  private readonly slots: Operand[] = []
  private readonly steps: Step[] = []
  private readonly names = new Map<string, number>()
  private quantiser: ProgramParts['quantiser'] | null = null

  constructor(
    private readonly model: Module,
    private readonly x: Tensor,
  ) {
    this.values.set(x, { kind: 'input', of: (given) => given })
  }

  /** Takes note of an operation of the forward pass. */
  operation(name: string, args: readonly unknown[], output: Tensor): void {
    const found = args.map((argument) =>
      argument instanceof Tensor ? this.value(argument) : Array.isArray(argument) ? argument.map((item) => this.value(item)) : undefined,
    )
    const values = found.flat().filter((value) => value !== undefined)
    // What depends on no input is a constant: it stays in the arguments of those that read it.
    if (values.length === 0) return
    ensure(
      output.shape[0] === this.x.shape[0],
      'INVALID_ARGUMENT',
      () => `integerNetwork: ${name} gives shape ${formatShape(output.shape)}, expected a first dimension of samples`,
    )
    const op = operations.get(name) as Op<readonly never[]>
    this.values.set(output, this.made(op, args, found, values, output))
  }

  private made(op: Op<readonly never[]>, args: readonly unknown[], found: Found, values: readonly Value[], output: Tensor): Value {
    const { name } = op.spec
    const shape = output.shape.slice(1)
    const only = values.length === 1 && found[0] === values[0] ? values[0] : null
    const floats = (because: string): Value => toFloats(op, args, found, values, because)
    if (values.every((value) => value.kind === 'input')) return { kind: 'input', of: inputOf(op, args, found, shapeless.has(name) ? shape : null) }
    if (only !== null && only.kind === 'integers') {
      const { expression } = only
      if (shapeless.has(name)) return { kind: 'integers', expression: reshaped(expression, shape) }
      if (expression.isCodes && op.spec.selects === true) return this.selected(op, args, expression, shape, null)
      // Of values that grow with their integers the largest is that of the largest; where they fall, of the smallest.
      if (maxima.has(name) && expression.operands.length === 1 && sameShape(expression.shape, expression.operands[0].shape))
        return this.selected(op, args, expression, shape, directions(expression))
    }
    if (values.some((value) => value.kind === 'floats')) return floats((values.find((value) => value.kind === 'floats') as { because: string }).because)
    if (values.some((value) => value.kind === 'input')) return floats(`${name} brings the input in again, which is not quantised there`)
    if (found.some(Array.isArray)) return floats(`${name} joins several values`)
    const expression = applied(
      op,
      args.map((constant, i): Argument => (found[i] === undefined ? { constant } : { value: (found[i] as { expression: Expression }).expression })),
    )
    return typeof expression === 'string' ? floats(expression) : { kind: 'integers', expression }
  }

  /** The same expression of some of its integers, in other places. */
  private selected(op: Op<readonly never[]>, args: readonly unknown[], expression: Expression, shape: Shape, direction: Int8Array | null): Value {
    const [from] = expression.operands
    const to = this.slot(from.range, shape)
    const sign = direction?.includes(-1) ? direction : null
    const turned = sign === null ? null : tensor(Float64Array.from(sign), [sign.length, ...shape.slice(1).map(() => 1)])
    const select = (integers: Tensor): Tensor => op(...([integers, ...args.slice(1)] as never[]))
    this.steps.push({
      ...({ kind: 'select', name: op.spec.name, options: args.slice(1), from: from.slot, to: to.slot, sign } as const),
      of: (integers) => (turned === null ? select(integers) : mul(select(mul(integers, turned)), turned)),
    })
    return { kind: 'integers', expression: { ...expression, operands: [to], shape } }
  }

  /** Takes note of a quantised layer of the forward pass. */
  layer({ layer, x, input, product, codes, output }: LayerCall): void {
    const value = this.value(x)
    const [path] = [...this.model.namedModules()].find(([, module]) => module === layer) ?? ['']
    ensure(
      value?.kind === 'integers' && value.expression.isCodes,
      'INVALID_ARGUMENT',
      () => `integerNetwork: the input of ${path || layer.constructor.name} is computed in a way that cannot be followed`,
    )
    const uses = (this.names.get(path) ?? 0) + 1
    this.names.set(path, uses)
    const integers = integerLayer(uses === 1 ? path : `${path} (${uses})`, this.model, codes)
    const [from] = value.expression.operands
    const register = registerFor(integers)
    const to = this.slot(register, output.shape.slice(1))
    const geometry = geometryOf(path, () => product(wholeNumbers(x, input.scale), codes.weights, null))
    this.steps.push({ kind: 'product', layer: integers, from: from.slot, to: to.slot, geometry })
    this.values.set(output, {
      kind: 'integers',
      expression: { operands: [to], shape: to.shape, isCodes: false, of: ([sums]) => codes.scaled(sums) },
    })
  }

  /** The parts of the program that gives `output`. */
  finish(output: Tensor): ProgramParts {
    const value = this.value(output)
    ensure(
      this.quantiser !== null && value !== undefined && value.kind !== 'input',
      'INVALID_ARGUMENT',
      () => 'integerNetwork: the output does not depend on quantised inputs; put a QuantIdentity in front',
    )
    const { operands, of } = value.kind === 'integers' ? value.expression : value
    return {
      input: this.x.shape.slice(1),
      slots: this.slots,
      quantiser: this.quantiser,
      steps: this.steps,
      output: { operands, shape: output.shape.slice(1), of },
    }
  }

  /** What is known of something; undefined for what depends on no input. Where a quantiser left codes, they get a slot. */
  private value(given: unknown): Value | undefined {
    if (!(given instanceof Tensor)) return undefined
    const value = this.values.get(given)
    if (value === undefined || given.quantisation === null || (value.kind === 'integers' && value.expression.isCodes)) return value
    const codes: Value = { kind: 'integers', expression: this.quantised(value, given.quantisation, given.shape.slice(1)) }
    this.values.set(given, codes)
    return codes
  }

  private quantised(value: Value, quantisation: Quantisation, shape: Shape): Expression {
    const range = { min: quantisation.min, max: quantisation.max }
    const { scale } = quantisation
    const codes = (operand: Operand): Expression => ({
      operands: [operand],
      shape,
      isCodes: scale.size === 1,
      of: ([integers]) => cast(integers, scale.dtype).mul(scale),
    })
    if (value.kind === 'input') {
      ensure(this.quantiser === null, 'INVALID_ARGUMENT', () => 'integerNetwork: the input is quantised in two places; quantise it once')
      ensure(this.slots.length === 0, 'INTERNAL', () => 'integerNetwork: the codes of the input do not come first')
      this.quantiser = { of: value.of, quantisation }
      return codes(this.slot(range, shape))
    }
    if (value.kind === 'floats')
      throw new EspalierError('INVALID_ARGUMENT', `integerNetwork: codes of shape ${formatShape(shape)} have no integer form: ${value.because}`)
    const { expression } = value
    const [searched, listed] = searchedAndListed(expression)
    const table = stepTable(expression, quantisation)
    const to = this.slot(range, shape)
    const inner = searched.shape.slice(1).reduce((product, dimension) => product * dimension, 1)
    this.steps.push({ kind: 'codes', from: searched.slot, second: listed?.slot ?? null, to: to.slot, inner, table })
    return codes(to)
  }

  private slot(range: IntegerRange, shape: Shape): Operand {
    const operand = { slot: this.slots.length, range, shape }
    this.slots.push(operand)
    return operand
  }
}

/** The arguments with computed values in place of those that were computed from the input. */
function filled(args: readonly unknown[], found: Found, compute: (value: Value) => Tensor): never[] {
  return args.map((argument, i) => {
    const here = found[i]
    if (Array.isArray(here)) return (argument as unknown[]).map((item, j) => (here[j] === undefined ? item : compute(here[j])))
    return here === undefined ? argument : compute(here)
  }) as never[]
}

function inputOf(op: Op<readonly never[]>, args: readonly unknown[], found: Found, shape: Shape | null): (x: Tensor) => Tensor {
  // (The shape that a reshaping names holds the number of samples it was read with.)
  if (shape !== null) return (x) => reshape((found[0] as { of: (x: Tensor) => Tensor }).of(x), [x.shape[0], ...shape])
  return (x) => op(...filled(args, found, (value) => (value as { of: (x: Tensor) => Tensor }).of(x)))
}

function toFloats(op: Op<readonly never[]>, args: readonly unknown[], found: Found, values: readonly Value[], because: string): Value {
  const operandsOf = (value: Value): readonly Operand[] =>
    value.kind === 'integers' ? value.expression.operands : value.kind === 'floats' ? value.operands : []
  const operands = [...new Map(values.flatMap(operandsOf).map((operand) => [operand.slot, operand])).values()]
  return {
    kind: 'floats',
    operands,
    because,
    of(integers) {
      const own = (value: Value): Tensor[] => operandsOf(value).map(({ slot }) => integers[operands.findIndex((operand) => operand.slot === slot)])
      return op(
        ...filled(args, found, (value) => {
          if (value.kind === 'floats') return value.of(own(value))
          ensure(value.kind === 'integers', 'INVALID_ARGUMENT', () => `integerNetwork: ${because}`)
          const result = value.expression.of(own(value))
          return reshape(result, [result.shape[0], ...value.expression.shape])
        }),
      )
    },
  }
}

/** An expression in another shape: codes alone know no channels, others keep those of their operands. */
const reshaped = (expression: Expression, shape: Shape): Expression =>
  expression.isCodes ? { ...expression, operands: [{ ...expression.operands[0], shape }], shape } : { ...expression, shape }

/** The register that holds every partial sum of a layer. */
function registerFor({ name, weights, rows, bias, input }: ReturnType<typeof integerLayer>): IntegerRange {
  const fanIn = rows === 0 ? 0 : weights.length / rows
  let [min, max] = [0, 0]
  for (let row = 0; row < rows; row++) {
    const bound = accumulatorBound(weights.subarray(row * fanIn, (row + 1) * fanIn), input, bias?.[row])
    min = Math.min(min, bound.min)
    max = Math.max(max, bound.max)
  }
  const bits = bitsFor(min, max)
  ensure(bits <= 32, 'INVALID_ARGUMENT', () => `integerNetwork: the accumulator of ${name} needs ${bits} bits, expected at most 32`)
  return { min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 }
}
