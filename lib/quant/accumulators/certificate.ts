import Table from 'cli-table3'
import { EspalierError, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { integerLayers } from '../integer.js'
import type { IntegerRange } from '../range.js'
import { type AccumulatorBound, accumulatorBound, witness } from './bounds.js'

/** What a certificate holds of a layer: enough to derive its bounds again, and nothing else. */
export interface CertifiedLayer extends AccumulatorBound {
  readonly name: string
  /** Inputs of a neuron, and the most any of its neurons uses (non-zero integer weights). */
  readonly fanIn: number
  readonly maxActive: number
  /** Integers the layer's inputs may take, and where that range is known from. */
  readonly input: IntegerRange
  readonly inputFrom: string
  /** Integer weights, a row a neuron. */
  readonly weights: readonly (readonly number[])[]
  /** Integer each neuron's accumulator starts from; null where the bias is a float added outside it. */
  readonly bias: readonly number[] | null
  readonly neurons: readonly AccumulatorBound[]
}

/**
 * A proof, for every neuron of every quantised layer, of the values its accumulator can take.
 *
 * The proof needs nothing but the integer weights, the integer biases and the range of the integer
 * inputs, which the clamp of the quantiser in front guarantees; all three are in the certificate, and
 * `verify` derives the bounds from them again.
 */
export class Certificate {
  constructor(readonly layers: readonly CertifiedLayer[]) {}

  /** The widest accumulator of all layers, in bits. */
  get bits(): number {
    return Math.max(0, ...this.layers.map((layer) => layer.bits))
  }

  /** The integer input at which a neuron reaches the end of its range. */
  witness(layerName: string, neuron: number, end: 'min' | 'max'): Int32Array {
    const layer = this.layers.find(({ name }) => name === layerName)
    ensure(layer !== undefined && neuron in layer.weights, 'INVALID_ARGUMENT', () => `witness: no neuron ${neuron} in a layer ${layerName}`)
    return witness(layer.weights[neuron], layer.input, end)
  }

  /**
   * Derives every bound again from the integers, and throws where one does not hold or, with `bits`,
   * where an accumulator of that width could overflow: the error names the neuron and the excess.
   */
  verify({ bits = Number.POSITIVE_INFINITY }: { bits?: number } = {}): void {
    for (const layer of this.layers) {
      ensure(layer.input.min <= 0 && layer.input.max >= 0, 'STATE', () => `${layer.name}: its input range ${layer.input.min}…${layer.input.max} lacks 0`)
      for (const [neuron, stated] of layer.neurons.entries()) {
        const derived = accumulatorBound(layer.weights[neuron], layer.input, layer.bias?.[neuron])
        if (derived.min !== stated.min || derived.max !== stated.max || derived.bits !== stated.bits)
          throw new EspalierError(
            'STATE',
            `${layer.name} neuron ${neuron}: ${stated.min}…${stated.max} is certified, ${derived.min}…${derived.max} follows from the weights`,
          )
        if (derived.bits > bits) {
          const [low, high] = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1]
          const excess = Math.max(derived.max - high, low - derived.min)
          throw new EspalierError('STATE', `${layer.name} neuron ${neuron}: ${derived.min}…${derived.max} exceeds ${bits} bits (${low}…${high}) by ${excess}`)
        }
      }
    }
  }

  /** A row a layer, to read. */
  toString(): string {
    const table = new Table({ head: ['layer', 'fan-in', 'active', 'input', 'min', 'max', 'bits'], style: { head: [], border: [] } })
    for (const { name, fanIn, maxActive, input, min, max, bits } of this.layers)
      table.push([name, fanIn, maxActive, `${input.min}…${input.max}`, min, max, bits])
    return table.toString()
  }
}

/**
 * Proves the accumulator range of every quantised layer of a model, exactly: per neuron, from its
 * integer weights and the range of its integer inputs. The model must have run once, so that each
 * layer knows what feeds it.
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
export function certify(model: Module): Certificate {
  const layers = integerLayers(model).map(({ name, weights, rows, bias, input }) => {
    const fanIn = rows === 0 ? 0 : weights.length / rows
    const rowsOfWeights = Array.from({ length: rows }, (_, row) => Array.from(weights.subarray(row * fanIn, (row + 1) * fanIn)))
    const neurons = rowsOfWeights.map((row, neuron) => accumulatorBound(row, input, bias?.[neuron]))
    return {
      name,
      fanIn,
      maxActive: Math.max(0, ...rowsOfWeights.map((row) => row.filter((weight) => weight !== 0).length)),
      input: { min: input.min, max: input.max },
      inputFrom: 'the clamp of the quantiser in front',
      weights: rowsOfWeights,
      bias: bias === null ? null : Array.from(bias),
      neurons,
      min: Math.min(0, ...neurons.map(({ min }) => min)),
      max: Math.max(0, ...neurons.map(({ max }) => max)),
      bits: Math.max(1, ...neurons.map(({ bits }) => bits)),
    }
  })
  ensure(layers.length > 0, 'INVALID_ARGUMENT', () => 'certify: the model has no quantised layer')
  return new Certificate(layers)
}
