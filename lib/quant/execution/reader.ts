import { type Op, operations } from '../../autograd/index.js'
import { type Conv2d, EspalierError, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { cast, mul } from '../../ops/index.js'
import { formatShape, type Quantisation, type Shape, sameShape, sizeOf, Tensor, tensor } from '../../tensor/index.js'
import { accumulatorBound } from '../accumulators/bounds.js'
import { type IntegerLayer, integerLayer, type LayerCall, wholeNumbers } from '../integer.js'
import { bitsFor, type IntegerRange } from '../range.js'
import { meanOf, windowSize, windowSums } from './averages.js'
import { type Argument, applied, directions, type Expression, type Operand, sameScale } from './expression.js'
import { geometryOf } from './geometry.js'
import type { ProgramParts, Step } from './program.js'
import { searchedAndListed, stepTable } from './stepTable.js'
import { type Applied, floatValue, type IntegerValue, inputValue, shapeless, type Value } from './values.js'

// A forward pass, read as steps on integers. Every tensor that depends on the input is one of three
// things: floats in front of the first quantiser, an expression of integers, or floats that are no such
// expression. Where a quantiser has left codes, the expression becomes a staircase.

const integers = (expression: Expression): IntegerValue => ({ kind: 'integers', expression })

/** Operations that give the largest element of each window. */
const maxima: ReadonlySet<string> = new Set(['max_pool1d', 'max_pool2d'])

/** Listens to a forward pass on some inputs, and knows in the end which steps it takes. */
export class Reader {
  /** What each tensor is that depends on the input. */
  private readonly values = new Map<Tensor, Value>()
  private readonly slots: Operand[] = []
  private readonly steps: Step[] = []
  /** How often a name was used. */
  private readonly names = new Map<string, number>()
  /** The operation that made each of them. */
  private readonly makers = new Map<Tensor, { name: string; args: readonly unknown[] }>()
  /** The codes of those whose values are not codes times a scale to the last bit. */
  private readonly sums = new Map<Tensor, Expression>()
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
    this.makers.set(output, { name, args })
    const step: Applied = { op: operations.get(name) as Op<readonly never[]>, args, found, shape: output.shape.slice(1) }
    const value = this.made(step, values)
    this.values.set(
      output,
      value.kind === 'integers' && value.expression.slack ? { ...value, exact: floatValue(step, 'it is computed from means or sums of codes') } : value,
    )
  }

  /** What an operation gives of values. */
  private made(step: Applied, values: readonly Value[]): Value {
    const { op, args, found, shape } = step
    const { name } = op.spec
    if (values.every((value) => value.kind === 'input')) return inputValue(step)
    const [first] = found
    if (values.length === 1 && first === values[0] && values[0].kind === 'integers') {
      if (shapeless.has(name)) return integers(reshaped(values[0].expression, shape))
      const expression = (op.spec.selects && this.codes(args[0] as Tensor)) || values[0].expression
      const { scale } = expression
      if (scale !== null && op.spec.selects === true) return integers(this.selected(op, args, expression, shape, null))
      const window = scale === null ? null : windowSums(name, args, expression.shape, shape)
      if (scale !== null && window !== null) return integers(this.averaged(name, expression, scale, window, shape))
      // Of values that grow with their integers the largest is that of the largest; where they fall, of the smallest.
      if (maxima.has(name) && expression.operands.length === 1 && sameShape(expression.shape, expression.operands[0].shape))
        return integers(this.selected(op, args, expression, shape, directions(expression)))
    }
    const floats = values.find((value) => value.kind === 'floats')
    if (floats !== undefined) return floatValue(step, floats.because)
    if (values.some((value) => value.kind === 'input')) return floatValue(step, `${name} brings the input in again, which is not quantised there`)
    if (found.some(Array.isArray)) return floatValue(step, `${name} joins several values`)
    const expression = applied(
      op,
      args.map((constant, i): Argument => (found[i] === undefined ? { constant } : { value: (found[i] as IntegerValue).expression })),
    )
    return typeof expression === 'string' ? floatValue(step, expression) : integers(expression)
  }

  /** The same expression of some of its integers, in other places. */
  private selected(op: Op<readonly never[]>, args: readonly unknown[], expression: Expression, shape: Shape, direction: Int8Array | null): Expression {
    const [from] = expression.operands
    const to = this.slot(from.range, shape)
    const sign = direction?.includes(-1) ? direction : null
    const turned = sign === null ? null : tensor(Float64Array.from(sign), [sign.length, ...shape.slice(1).map(() => 1)])
    const select = (integers: Tensor): Tensor => op(...([integers, ...args.slice(1)] as never[]))
    this.steps.push({
      ...({ kind: 'select', name: op.spec.name, options: args.slice(1), from: from.slot, to: to.slot, sign } as const),
      of: (integers) => (turned === null ? select(integers) : mul(select(mul(integers, turned)), turned)),
    })
    return { ...expression, operands: [to], shape }
  }

  /** Takes note of a quantised layer of the forward pass. */
  layer({ layer, x, input, product, codes, output }: LayerCall): void {
    const from = this.codes(x)
    const [path] = [...this.model.namedModules()].find(([, module]) => module === layer) ?? ['']
    ensure(
      from !== null,
      'INVALID_ARGUMENT',
      () => `integerNetwork: the input of ${path || layer.constructor.name} is computed in a way that cannot be followed`,
    )
    const geometry = geometryOf(path, x, () => product(wholeNumbers(x, input.scale), codes.weights, null))
    const made = integerLayer(this.named(path), this.model, codes)
    // One neuron that serves several channels, each by itself.
    const copies = outChannelsOf(geometry) / made.rows
    const rows =
      copies === 1 ? made : { ...made, rows: outChannelsOf(geometry), weights: repeated(made.weights, copies), bias: made.bias && repeated(made.bias, copies) }
    const to = this.summed(rows, from, geometry, output.shape.slice(1))
    this.values.set(
      output,
      integers({
        operands: [to],
        shape: to.shape,
        scale: codes.unit?.size === 1 ? codes.unit : null,
        uniform: codes.unit?.size === 1,
        of: ([sums]) => codes.scaled(sums),
      }),
    )
  }

  /** The sums of a layer over codes, in a register that holds every partial one. */
  private summed(layer: IntegerLayer, { operands: [from] }: Expression, geometry: Conv2d, shape: Shape): Operand {
    const to = this.slot(registerFor(layer), shape)
    this.steps.push({ kind: 'product', layer, from: from.slot, to: to.slot, geometry })
    return to
  }

  /** A name for one more use of something. */
  private named(what: string): string {
    const uses = (this.names.get(what) ?? 0) + 1
    this.names.set(what, uses)
    return uses === 1 ? what : `${what} (${uses})`
  }

  /** Means of windows of codes. */
  private averaged(name: string, expression: Expression, scale: Tensor, geometry: Conv2d, shape: Shape): Expression {
    const [{ range }] = expression.operands
    const [channels, count] = [shape[0], windowSize(geometry)]
    const ones = new Int32Array(channels * count).fill(1)
    const layer = { name: this.named(name), weights: ones, rows: channels, bias: null, input: range, inputFrom: 'clamp of the quantiser in front' }
    return meanOf(this.summed(layer, expression, geometry, shape), shape, range, count, scale)
  }

  /** The parts of the program that gives `output`. */
  finish(output: Tensor): ProgramParts {
    const value = this.value(output)
    ensure(
      this.quantiser !== null && value !== undefined && value.kind !== 'input',
      'INVALID_ARGUMENT',
      () => 'integerNetwork: the output does not depend on quantised inputs; put a QuantIdentity in front',
    )
    const { operands, of } = value.kind === 'integers' ? (value.exact ?? value.expression) : value
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
    const tensor = this.unwrapped(given)
    const value = this.values.get(tensor)
    const { quantisation } = given
    if (value === undefined || quantisation === null) return value
    if (value.kind === 'floats')
      throw new EspalierError('INVALID_ARGUMENT', `integerNetwork: codes of shape ${formatShape(given.shape.slice(1))} have no integer form: ${value.because}`)
    if (value.kind === 'integers' && (value.expression.scale !== null || !this.onGrid(tensor, quantisation))) return value
    const quantised = integers(
      value.kind === 'input' ? this.ofInput(value.of, quantisation, given.shape.slice(1)) : this.quantised(value.expression, quantisation, 0),
    )
    this.values.set(tensor, quantised)
    return quantised
  }

  /** The codes behind a quantised tensor; null where there are none. */
  private codes(given: Tensor): Expression | null {
    const value = this.value(given)
    const { quantisation } = given
    if (value?.kind !== 'integers') return null
    const { expression } = value
    if (quantisation === null || sameScale(expression.scale, quantisation.scale)) return expression.scale === null ? null : expression
    const tensor = this.unwrapped(given)
    // The value need not be its code times the scale to the last bit: what is computed from the codes has slack.
    const codes = this.sums.get(tensor) ?? this.quantised(expression, quantisation, 32 * 2 ** -24 * Math.max(-quantisation.min, quantisation.max))
    this.sums.set(tensor, codes)
    return codes
  }

  /** Whether a tensor's values are, by the operation that made it, whole numbers times the scale. */
  private onGrid(tensor: Tensor, { scale }: Quantisation): boolean {
    const maker = this.makers.get(tensor)
    if (maker === undefined) return false
    return (
      maker.name.startsWith('fake_quant') ||
      maker.name === 'requantise' ||
      (maker.name === 'mul' && maker.args.some((argument) => argument instanceof Tensor && sameValues(argument, scale)))
    )
  }

  /** A tensor that only carries another one along with its codes is that one. */
  private unwrapped(given: Tensor): Tensor {
    const { value } = given as { value?: unknown }
    return !this.values.has(given) && value instanceof Tensor ? value : given
  }

  /** The codes of the input. */
  private ofInput(of: (x: Tensor) => Tensor, quantisation: Quantisation, shape: Shape): Expression {
    ensure(this.quantiser === null, 'INVALID_ARGUMENT', () => 'integerNetwork: the input is quantised in two places; quantise it once')
    ensure(this.slots.length === 0, 'INTERNAL', () => 'integerNetwork: the codes of the input do not come first')
    this.quantiser = { of, quantisation }
    return ofCodes(this.slot(rangeOf(quantisation), shape), quantisation, 0)
  }

  /** An expression's codes. */
  private quantised(expression: Expression, quantisation: Quantisation, slack: number): Expression {
    const to = this.slot(rangeOf(quantisation), expression.shape)
    const { operands, sumOf } = expression
    if (sumOf !== undefined && sameScale(sumOf, quantisation.scale))
      this.steps.push({ kind: 'sum', from: operands[0].slot, second: operands[1].slot, to: to.slot })
    else {
      const [searched, listed] = searchedAndListed(expression)
      const table = stepTable(expression, quantisation)
      const inner = sizeOf(searched.shape) / table.channels
      this.steps.push({ kind: 'codes', from: searched.slot, second: listed?.slot ?? null, to: to.slot, inner, table })
    }
    return ofCodes(to, quantisation, slack)
  }

  /** A new slot. */
  private slot(range: IntegerRange, shape: Shape): Operand {
    const operand = { slot: this.slots.length, range, shape }
    this.slots.push(operand)
    return operand
  }
}

const rangeOf = ({ min, max }: Quantisation): IntegerRange => ({ min, max })

/** The value of codes in a slot. */
function ofCodes(operand: Operand, { scale }: Quantisation, slack: number): Expression {
  const single = scale.size === 1
  return {
    operands: [operand],
    shape: operand.shape,
    scale: single ? scale : null,
    uniform: single,
    slack,
    of: ([integers]) => cast(integers, scale.dtype).mul(scale),
  }
}

const outChannelsOf = ([, , , , outChannels]: Conv2d): number => outChannels

/** An array so many times in a row. */
const repeated = (values: Int32Array, times: number): Int32Array => Int32Array.from({ length: values.length * times }, (_, i) => values[i % values.length])

const sameValues = (a: Tensor, b: Tensor): boolean => a.size === b.size && a.data.every((value: number, i: number) => value === b.data[i])

/** An expression in another shape: codes alone know no channels, others keep those of their operands. */
const reshaped = (expression: Expression, shape: Shape): Expression =>
  expression.scale !== null ? { ...expression, operands: [{ ...expression.operands[0], shape }], shape } : { ...expression, shape }

/** The register that holds every partial sum of a layer. */
function registerFor({ name, weights, rows, bias, input }: IntegerLayer): IntegerRange {
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
