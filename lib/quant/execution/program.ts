import { type Conv2d, describe, ensure, type NativeArray, wholeNumber } from '../../native/index.js'
import {
  allocate,
  defaultGenerator,
  dtypeOf,
  formatShape,
  type HostDType,
  type Quantisation,
  type Shape,
  sameShape,
  sizeOf,
  Tensor,
  table,
} from '../../tensor/index.js'
import type { IntegerLayer, IntegerSource } from '../integer.js'
import type { Operand } from './expression.js'
import { OverflowLog, type Overflows } from './overflows.js'
import { type ProgramFile, programFile } from './programFile.js'
import { checkRegisters, drawnOrder, exactSums, fanInOf, type Products, type RegisterOptions, registerSums } from './registers.js'
import { codesIn, type StepTable, stepCodes } from './stepTable.js'

// A network as steps on whole numbers. Each reads slots and writes one.

/** Sums of products of codes: a convolution, or a matrix product as one of images of one element. */
export interface ProductStep {
  readonly kind: 'product'
  readonly layer: IntegerLayer
  readonly from: number
  readonly to: number
  /** Geometry for one sample. */
  readonly geometry: Conv2d
}

/** The next codes from sums, or from other codes: where they have reached the edges of a staircase. */
export interface CodesStep {
  readonly kind: 'codes'
  readonly from: number
  /** The slot that chooses among the staircases of a channel; null where each has one. */
  readonly second: number | null
  readonly to: number
  /** Elements of a channel in a row. */
  readonly inner: number
  readonly table: StepTable
}

/** Sums of two slots' integers, element by element. */
export interface SumStep {
  readonly kind: 'sum'
  readonly from: number
  readonly second: number
  readonly to: number
}

/** Some of the integers in other places: maxima of windows, slices, permutations. */
export interface SelectStep {
  readonly kind: 'select'
  /** The operation, and its arguments behind the first. */
  readonly name: string
  readonly options: readonly unknown[]
  readonly from: number
  readonly to: number
  /** [channels]: −1 where integers are selected by their negatives, the largest value being that of the smallest; null: nowhere. */
  readonly sign: Int8Array | null
  readonly of: (integers: Tensor) => Tensor
}

export type Step = ProductStep | CodesStep | SumStep | SelectStep

/** All that a program is made of. */
export interface ProgramParts {
  /** One sample's shape. */
  readonly input: Shape
  readonly slots: readonly Operand[]
  /** What brings the input to the grid of its codes, in floats, and what they stand for: slot 0. */
  readonly quantiser: { readonly of: (x: Tensor) => Tensor; readonly quantisation: Quantisation }
  readonly steps: readonly Step[]
  /** The network's output from the integers it ends in. */
  readonly output: { readonly operands: readonly Operand[]; readonly shape: Shape; readonly of: (integers: readonly Tensor[]) => Tensor }
}

export interface RunOptions {
  /**
   * Registers to add products up in, in place of ones that hold every sum: the same width for every layer
   * (the sums behind average pools are layers too), or a width for each layer named, the others exact.
   */
  registers?: Omit<RegisterOptions, 'bits'> & { bits: number | Readonly<Record<string, number>> }
}

export interface IntegerRun {
  /** What the model's forward pass gives, bit for bit where no register overflowed. */
  readonly output: Tensor
  /** The integers it was computed from: accumulators of the last layer, or codes; several where branches end in a sum. int32. */
  readonly integers: readonly Tensor[]
  /** Layers with sums that left their registers, in order. */
  readonly overflows: readonly Overflows[]
}

/** Samples that go through the network together, which bounds the memory. */
const batch = 256

/**
 * A frozen network that runs on integers alone: input codes, integer products, requantisation by
 * comparison with integers, maxima. See `integerNetwork`.
 */
export class IntegerProgram implements IntegerSource {
  /** One sample's shape. */
  readonly input: Shape
  readonly steps: readonly Step[]

  /** @internal */
  constructor(private readonly parts: ProgramParts) {
    this.input = parts.input
    this.steps = parts.steps
  }

  /** The layers, one for each use of them: what `certify` proves things of. */
  integerLayers(): readonly IntegerLayer[] {
    return this.steps.flatMap((step) => (step.kind === 'product' ? step.layer : []))
  }

  /** The codes of inputs [n, …], int32: all that the network knows of them. */
  quantise(x: Tensor): Tensor {
    this.checkShape('quantise', x)
    const { of, quantisation } = this.parts.quantiser
    return integerTensor(Int32Array.from(codesIn(of(x), quantisation)), x.shape)
  }

  /** Runs on inputs [n, …]. */
  run(x: Tensor, options: RunOptions = {}): IntegerRun {
    return this.runCodes(this.quantise(x), options)
  }

  /**
   * Runs on input codes [n, …], int32.
   *
   * @throws EspalierError STATE where a sum leaves its register and `overflow` is 'error': it names layer,
   * neuron, sample and place
   */
  runCodes(codes: Tensor, { registers }: RunOptions = {}): IntegerRun {
    this.checkShape('runCodes', codes)
    const { min, max } = this.parts.quantiser.quantisation
    const stray = codes.data.findIndex((code: number) => !Number.isInteger(code) || code < min || code > max)
    ensure(stray < 0, 'INVALID_ARGUMENT', () => `runCodes: codes[${stray}] is ${codes.data[stray]}, expected a whole number from ${min} to ${max}`)
    const own = registers === undefined ? new Map<string, LayerRegisters>() : this.registersOf(registers)
    const log = new OverflowLog()

    const [n, each] = [codes.shape[0], sizeOf(this.input)]
    const { operands, shape, of } = this.parts.output
    const outputs: NativeArray[] = []
    const ends: Int32Array[][] = operands.map(() => [])
    for (let first = 0; first === 0 || first < n; first += batch) {
      const count = Math.min(batch, n - first)
      const slots = this.execute(Int32Array.from(codes.data.subarray(first * each, (first + count) * each)), count, (step, products) => {
        const registersHere = own.get(step.layer.name)
        if (registersHere === undefined) return exactSums(products)
        const { sums, first: left } = registerSums(products, registersHere.options, registersHere.order)
        log.note(step.layer.name, products.shape, left, first, registersHere.options)
        return sums
      })
      outputs.push(of(operands.map((operand) => wide(slots[operand.slot] as Int32Array, [count, ...operand.shape]))).data)
      operands.forEach(({ slot }, i) => void ends[i].push(slots[slot] as Int32Array))
    }
    return {
      output: joined(outputs, [n, ...shape]),
      integers: operands.map((operand, i) => joined(ends[i], [n, ...operand.shape])),
      overflows: log.report(),
    }
  }

  /** The program in plain numbers, to be run elsewhere. Nothing in it is a float but the scale of the input. */
  toJSON(): ProgramFile {
    return programFile(this.parts)
  }

  /** A row a step: what it does, what it gives a sample, and the integers that may be. */
  toString(): string {
    const { slots } = this.parts
    const input = { kind: 'input', by: 'rounding', to: 0 }
    return table([input, ...this.steps.map((step) => ({ kind: step.kind, by: meansOf(step), to: step.to }))], {
      step: ({ kind }) => kind,
      by: ({ by }) => by,
      shape: ({ to }) => formatShape(slots[to].shape),
      integers: ({ to }) => `${slots[to].range.min}…${slots[to].range.max}`,
    })
  }

  private checkShape(operation: string, x: Tensor): void {
    ensure(x instanceof Tensor, 'INVALID_ARGUMENT', () => `${operation}: x is ${describe(x)}, expected a tensor`)
    ensure(
      sameShape(x.shape.slice(1), this.input),
      'SHAPE_MISMATCH',
      () => `${operation}: x has shape ${formatShape(x.shape)}, expected [n, ${this.input.join(', ')}]`,
    )
  }

  /** The registers of each layer by name, with the order that was drawn for it. */
  private registersOf({ bits, ...rest }: NonNullable<RunOptions['registers']>): Map<string, LayerRegisters> {
    const names = new Set(this.integerLayers().map(({ name }) => name))
    if (typeof bits !== 'number')
      for (const name of Object.keys(bits)) ensure(names.has(name), 'INVALID_ARGUMENT', () => `registers: there is no layer ${name}`)
    const own = new Map<string, LayerRegisters>()
    for (const step of this.steps) {
      if (step.kind !== 'product') continue
      const { name } = step.layer
      const width = typeof bits === 'number' ? bits : Object.hasOwn(bits, name) ? bits[name] : undefined
      if (width === undefined) continue
      const options = { ...rest, bits: wholeNumber('registers: bits', width, 2, 32), generator: rest.generator ?? defaultGenerator }
      checkRegisters(options)
      own.set(name, { options, order: drawnOrder(fanInOf(step.geometry), options) })
    }
    return own
  }

  /** All slots after a run of `n` samples; `sum` adds up the products of a layer. */
  private execute(codes: Int32Array, n: number, sum: (step: ProductStep, products: Products) => Int32Array): (Int32Array | undefined)[] {
    const slots: (Int32Array | undefined)[] = [codes]
    for (const step of this.steps) {
      const x = slots[step.from] as Int32Array
      if (step.kind === 'product') {
        const [, ...geometry] = step.geometry
        slots[step.to] = sum(step, { x, weights: step.layer.weights, bias: step.layer.bias, shape: [n, ...geometry] })
      } else if (step.kind === 'sum') {
        const second = slots[step.second] as Int32Array
        slots[step.to] = x.map((value, i) => value + second[i])
      } else if (step.kind === 'codes') slots[step.to] = stepCodes(step.table, x, step.inner, step.second === null ? null : (slots[step.second] as Int32Array))
      else slots[step.to] = Int32Array.from(step.of(wide(x, [n, ...this.parts.slots[step.from].shape])).data)
    }
    return slots
  }
}

/** What a step works by, in a word or two. */
function meansOf(step: Step): string {
  switch (step.kind) {
    case 'product':
      return step.layer.name
    case 'codes':
      return `${step.table.steps * step.table.rows} edges${step.table.channels === 1 ? '' : ' a channel'}`
    case 'sum':
      return 'addition'
    case 'select':
      return step.name
  }
}

interface LayerRegisters {
  readonly options: RegisterOptions
  readonly order: Int32Array | null
}

const integerTensor = (values: Int32Array, shape: Shape): Tensor => new Tensor(values, shape, 'int32')

/** The parts of a result, of one dtype, one behind the other. */
function joined(parts: readonly NativeArray[], shape: Shape): Tensor {
  const dtype = dtypeOf(parts[0]) as HostDType
  const all = allocate(dtype, sizeOf(shape))
  let at = 0
  for (const part of parts) {
    all.set(part as never, at)
    at += part.length
  }
  return new Tensor(all, shape, dtype)
}

/** Integers as operations take them. */
function wide(values: Int32Array, shape: Shape): Tensor {
  const storage = allocate('float64', values.length)
  storage.set(values as never)
  return new Tensor(storage, shape, 'float64')
}
