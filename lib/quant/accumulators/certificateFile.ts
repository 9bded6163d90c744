import { describe, EspalierError, ensure } from '../../native/index.js'
import type { IntegerRange } from '../range.js'
import type { AccumulatorBound } from './bounds.js'

// A certificate as JSON: plain integers, so that anyone can read and check it, in any language.

/** What is stated of a layer, and all that it follows from. */
export interface StatedLayer {
  readonly name: string
  /** Integers the layer's inputs may take, and what keeps them there. */
  readonly input: IntegerRange
  readonly inputFrom: string
  /** Integer weights, a row a neuron. */
  readonly weights: readonly ArrayLike<number>[]
  /** Integer each neuron's accumulator starts from; null where the bias is a float added outside it. */
  readonly bias: ArrayLike<number> | null
  /** What is claimed of each neuron. */
  readonly neurons: readonly AccumulatorBound[]
}

const format = 'espalier-certificate'
const version = 1

/** A certificate as it is saved. */
export interface CertificateFile {
  readonly format: typeof format
  readonly version: typeof version
  readonly layers: readonly {
    readonly name: string
    readonly input: { readonly min: number; readonly max: number; readonly from: string }
    /** Integer weights, a row a neuron. */
    readonly weights: readonly (readonly number[])[]
    readonly bias: readonly number[] | null
    /** What is claimed, a value a neuron. */
    readonly min: readonly number[]
    readonly max: readonly number[]
    readonly bits: readonly number[]
  }[]
}

export const certificateFile = (layers: readonly StatedLayer[]): CertificateFile => ({
  format,
  version,
  layers: layers.map(({ name, input, inputFrom, weights, bias, neurons }) => ({
    name,
    input: { min: input.min, max: input.max, from: inputFrom },
    weights: weights.map((row) => Array.from(row)),
    bias: bias && Array.from(bias),
    min: neurons.map(({ min }) => min),
    max: neurons.map(({ max }) => max),
    bits: neurons.map(({ bits }) => bits),
  })),
})

/** The layers of a certificate that was saved, or of its text. Whatever is not as it should be is an error. */
export function readCertificate(json: unknown): StatedLayer[] {
  const file = record('the certificate', typeof json === 'string' ? parsed(json) : json)
  ensure(file.format === format, 'FORMAT', () => `certificate: format is ${describe(file.format)}, expected ${format}`)
  ensure(file.version === version, 'FORMAT', () => `certificate: version is ${describe(file.version)}, expected ${version}`)
  const layers = list('layers', file.layers).map(readLayer)
  ensure(layers.length > 0, 'FORMAT', () => 'certificate: layers are missing, expected at least one')
  const names = new Set<string>()
  for (const { name } of layers) {
    ensure(!names.has(name), 'FORMAT', () => `certificate: two layers are named ${describe(name)}`)
    names.add(name)
  }
  return layers
}

function readLayer(value: unknown, at: number): StatedLayer {
  const of = (field: string): string => `layers[${at}].${field}`
  const layer = record(`layers[${at}]`, value)
  const input = record(of('input'), layer.input)
  const range = { min: integer(of('input.min'), input.min), max: integer(of('input.max'), input.max) }
  ensure(range.min <= range.max, 'FORMAT', () => `certificate: ${of('input')} is ${range.min}…${range.max}, expected min ≤ max`)
  const weights = list(of('weights'), layer.weights).map((row, neuron) => Int32Array.from(integers(of(`weights[${neuron}]`), row, smallest, largest)))
  const uneven = weights.findIndex((row) => row.length !== weights[0].length)
  ensure(uneven < 0, 'FORMAT', () => `certificate: ${of(`weights[${uneven}]`)} has ${weights[uneven].length} weights, expected ${weights[0].length}`)
  const perNeuron = (field: string): number[] => integers(of(field), layer[field], undefined, undefined, weights.length)
  const [min, max, bits] = [perNeuron('min'), perNeuron('max'), perNeuron('bits')]
  return {
    name: text(of('name'), layer.name),
    input: range,
    inputFrom: text(of('input.from'), input.from),
    weights,
    bias: layer.bias === null ? null : perNeuron('bias'),
    neurons: weights.map((_, neuron): AccumulatorBound => ({ min: min[neuron], max: max[neuron], bits: bits[neuron] })),
  }
}

const [smallest, largest] = [-(2 ** 31), 2 ** 31 - 1]

function parsed(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new EspalierError('FORMAT', 'certificate: the text is not JSON', { cause })
  }
}

function record(name: string, value: unknown): Record<string, unknown> {
  ensure(typeof value === 'object' && value !== null && !Array.isArray(value), 'FORMAT', () => `certificate: ${name} is ${describe(value)}, expected an object`)
  return value as Record<string, unknown>
}

function list(name: string, value: unknown): unknown[] {
  ensure(Array.isArray(value), 'FORMAT', () => `certificate: ${name} is ${describe(value)}, expected an array`)
  return value
}

function integer(name: string, value: unknown, low = Number.MIN_SAFE_INTEGER, high = Number.MAX_SAFE_INTEGER): number {
  ensure(
    typeof value === 'number' && Number.isInteger(value) && value >= low && value <= high,
    'FORMAT',
    () => `certificate: ${name} is ${describe(value)}, expected a whole number`,
  )
  return value
}

function integers(name: string, value: unknown, low?: number, high?: number, count?: number): number[] {
  const values = list(name, value)
  ensure(count === undefined || values.length === count, 'FORMAT', () => `certificate: ${name} has ${values.length} elements, expected ${count}`)
  return values.map((item, i) => integer(`${name}[${i}]`, item, low, high))
}

/** A name as it may be printed: short, and without what a terminal would obey. */
function text(name: string, value: unknown): string {
  ensure(
    typeof value === 'string' && value.length <= 1000 && !/[\p{Cc}\p{Cf}]/u.test(value),
    'FORMAT',
    () => `certificate: ${name} is ${describe(value)}, expected a name`,
  )
  return value
}
