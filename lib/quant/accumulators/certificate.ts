import { EspalierError, ensure, wholeNumber } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { table } from '../../tensor/index.js'
import { type IntegerLayer, type IntegerSource, integerLayers } from '../integer.js'
import type { IntegerRange } from '../range.js'
import { type AccumulatorBound, accumulatorBound, reached, witness } from './bounds.js'
import { type CertificateFile, certificateFile, readCertificate, type StatedLayer } from './certificateFile.js'

/** A layer's statement with what its neurons come to together. */
export interface CertifiedLayer extends StatedLayer, AccumulatorBound {
  readonly weights: readonly Int32Array[]
  /** Inputs of a neuron, and the most any of its neurons uses (non-zero integer weights). */
  readonly fanIn: number
  readonly maxActive: number
}

/** A neuron that does not fit, and by how much. */
interface Misfit {
  readonly layer: StatedLayer
  readonly neuron: number
  readonly bits: number
  readonly excess: number
}

/**
 * A proof, for every neuron of every quantised layer, of the values its accumulator can take.
 *
 * The proof needs nothing but the integer weights, the integer biases and the range of the integer
 * inputs, which the clamp of the quantiser in front guarantees; all three are in the certificate, and
 * `verify` derives the bounds from them again. It holds for partial sums in every order.
 *
 * `JSON.stringify` makes of it what can lie beside the model, and `Certificate.fromJSON` takes it back,
 * to be verified without the model.
 *
 * @example
 * ```ts
 * import { quant } from 'espalier'
 * const [weights, input] = [[3, -2, 0, 1], quant.integerRange({ bits: 4, signed: false })]
 * const certificate = new quant.Certificate([
 *   { name: 'fc', input, inputFrom: 'the sensor', weights: [weights], bias: [-4], neurons: [quant.accumulatorBound(weights, input, -4)] },
 * ])
 * const text = JSON.stringify(certificate)
 * quant.Certificate.fromJSON(text).verify({ bits: 7 })
 * certificate.witness('fc', 0, 'max') // [15, 0, 0, 15], at which the accumulator holds 56
 * ```
 */
export class Certificate {
  readonly layers: readonly CertifiedLayer[]

  constructor(layers: readonly StatedLayer[]) {
    this.layers = layers.map(summarised)
  }

  /** What `toJSON` made, or the text of it; every part is checked, and nothing in it is believed before `verify`. */
  static fromJSON(json: unknown): Certificate {
    return new Certificate(readCertificate(json))
  }

  toJSON(): CertificateFile {
    return certificateFile(this.layers)
  }

  /** The widest accumulator of all layers, in bits. */
  get bits(): number {
    return this.layers.reduce((most, layer) => Math.max(most, layer.bits), 0)
  }

  /** The integer input at which a neuron reaches the end of its range. */
  witness(layerName: string, neuron: number, end: 'min' | 'max'): Int32Array {
    const layer = this.layers.find(({ name }) => name === layerName)
    ensure(layer !== undefined && neuron in layer.weights, 'INVALID_ARGUMENT', () => `witness: no neuron ${neuron} in a layer ${layerName}`)
    return witness(layer.weights[neuron], layer.input, end)
  }

  /**
   * Derives every bound again from the integers, and throws where one does not hold or is not reached by
   * its witness, or, with `bits`, where an accumulator of that width could overflow: the error names the
   * neuron that exceeds it most, by how much, and the width that would do.
   *
   * @param options.bits a width for all layers, or for those named
   */
  verify({ bits }: { bits?: number | Readonly<Record<string, number>> } = {}): void {
    for (const layer of this.layers) layer.neurons.forEach((_, neuron) => void verifyNeuron(layer, neuron))
    if (bits === undefined) return
    const widths = typeof bits === 'number' ? new Map(this.layers.map(({ name }) => [name, bits])) : new Map(Object.entries(bits))
    const misfits = [...widths].flatMap(([name, width]) => {
      wholeNumber(typeof bits === 'number' ? 'verify: bits' : `verify: bits of ${name}`, width, 1, 64)
      const layer = this.layers.find((other) => other.name === name)
      ensure(layer !== undefined, 'INVALID_ARGUMENT', () => `verify: there is no layer ${name}`)
      return misfitsOf(layer, width)
    })
    if (misfits.length === 0) return
    const worst = misfits.reduce((most, other) => (other.excess > most.excess ? other : most))
    const enough = Math.max(...misfits.filter(({ layer }) => typeof bits === 'number' || layer === worst.layer).map(({ layer }) => summarised(layer).bits))
    throw new EspalierError('STATE', `${inWords(worst)}${misfits.length > 1 ? `, as the widest of ${misfits.length}` : ''}; ${enough} bits would do`)
  }

  /** A row a layer, to read. */
  toString(): string {
    return table(this.layers, {
      layer: ({ name }) => name,
      neurons: ({ neurons }) => neurons.length,
      'fan-in': ({ fanIn }) => fanIn,
      active: ({ maxActive }) => maxActive,
      input: ({ input }) => `${input.min}…${input.max}`,
      'known by': ({ inputFrom }) => inputFrom,
      min: ({ min }) => min,
      max: ({ max }) => max,
      bits: ({ bits }) => bits,
    })
  }
}

/** With what the neurons come to together, which nobody has to state. */
function summarised({ name, input, inputFrom, weights, bias, neurons }: StatedLayer): CertifiedLayer {
  return {
    name,
    fanIn: weights[0]?.length ?? 0,
    maxActive: weights.reduce((most, row) => Math.max(most, activeIn(row)), 0),
    ...{ input, inputFrom, bias, neurons },
    weights: weights.map((row) => (row instanceof Int32Array ? row : Int32Array.from(row))),
    min: neurons.reduce((least, { min }) => Math.min(least, min), 0),
    max: neurons.reduce((most, { max }) => Math.max(most, max), 0),
    bits: neurons.reduce((most, { bits }) => Math.max(most, bits), 1),
  }
}

function activeIn(row: ArrayLike<number>): number {
  let active = 0
  for (let i = 0; i < row.length; i++) if (row[i] !== 0) active++
  return active
}

function normOf(row: ArrayLike<number>): number {
  let norm = 0
  for (let i = 0; i < row.length; i++) norm += Math.abs(row[i])
  return norm
}

function verifyNeuron({ name, weights, input, bias, neurons }: StatedLayer, neuron: number): void {
  const row = weights[neuron]
  const start = bias === null ? 0 : bias[neuron]
  ensure(
    normOf(row) * Math.max(Math.abs(input.min), Math.abs(input.max)) + Math.abs(start) < 2 ** 53,
    'STATE',
    () => `${name} neuron ${neuron}: its sums reach 2^53, beyond which this cannot be verified`,
  )
  const stated = neurons[neuron]
  const derived = accumulatorBound(row, input, start)
  ensure(
    derived.min === stated.min && derived.max === stated.max && derived.bits === stated.bits,
    'STATE',
    () =>
      `${name} neuron ${neuron}: ${stated.min}…${stated.max} in ${stated.bits} bits is certified, ${derived.min}…${derived.max} in ${derived.bits} follows from the weights`,
  )
  for (const end of ['min', 'max'] as const)
    ensure(reached(row, input, start, end) === derived[end], 'INTERNAL', () => `${name} neuron ${neuron}: its witness does not reach ${derived[end]}`)
}

const registerOf = (bits: number): IntegerRange => ({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 })

function misfitsOf(layer: StatedLayer, bits: number): Misfit[] {
  const register = registerOf(bits)
  return layer.neurons.flatMap(({ min, max }, neuron) => {
    const excess = Math.max(max - register.max, register.min - min)
    return excess > 0 ? { layer, neuron, bits, excess } : []
  })
}

function inWords({ layer, neuron, bits, excess }: Misfit): string {
  const { min, max } = layer.neurons[neuron]
  const register = registerOf(bits)
  return `${layer.name} neuron ${neuron}: ${min}…${max} exceeds ${bits} bits (${register.min}…${register.max}) by ${excess}`
}

/**
 * Proves the accumulator range of every quantised layer of a model, exactly: per neuron, from its
 * integer weights and the range of its integer inputs. The model must have run once, so that each
 * layer knows what feeds it. Of an integer program, whose layers stand for every use of them, it proves
 * the same, and of a compiled one for its layers on codes.
 *
 * @example
 * ```ts
 * import { nn, noGrad, ones, qnn, quant } from 'espalier'
 * const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 4 }), new qnn.QuantLinear(16, 3, { weightBits: 4 }))
 * noGrad(() => model.forward(ones([8, 16])))
 * const certificate = quant.certify(model.eval())
 * certificate.verify({ bits: 12 })
 * console.log(String(certificate))
 * ```
 */
export function certify(source: Module | IntegerSource): Certificate {
  const layers = 'integerLayers' in source ? source.integerLayers() : integerLayers(source)
  ensure(layers.length > 0, 'INVALID_ARGUMENT', () => 'certify: the model has no quantised layer')
  return new Certificate(layers.map(stated))
}

function stated({ name, weights, rows, bias, input, inputFrom }: IntegerLayer): StatedLayer {
  const fanIn = rows === 0 ? 0 : weights.length / rows
  const rowsOfWeights = Array.from({ length: rows }, (_, row) => weights.subarray(row * fanIn, (row + 1) * fanIn))
  return {
    name,
    input: { min: input.min, max: input.max },
    inputFrom,
    weights: rowsOfWeights,
    bias,
    neurons: rowsOfWeights.map((row, neuron) => accumulatorBound(row, input, bias?.[neuron])),
  }
}
