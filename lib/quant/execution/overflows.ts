import { type Conv2d, EspalierError } from '../../native/index.js'
import { fanInOf, type RegisterOptions } from './registers.js'

/** Sums of a layer that left their registers. */
export interface Overflows {
  readonly layer: string
  /** How many sums did, and of how many neurons. */
  readonly sums: number
  readonly neurons: number
  readonly first: Overflow
}

/** One sum that left its register. */
export interface Overflow {
  readonly sample: number
  readonly neuron: number
  /** Row and column in the neuron's output; 0, 0 for a matrix product. */
  readonly place: readonly [row: number, column: number]
  /** How many products had been added, the one included that was too much; 0 where the bias alone was. */
  readonly products: number
}

/** What happens to sums in a run. */
export class OverflowLog {
  private readonly layers = new Map<string, { first: Overflow; sums: number; neurons: Set<number> }>()

  /**
   * Takes note of the sums of a layer for some samples, `from` being the first one's number; `left` says of
   * each after how many products it left its register, or −1.
   */
  note(layer: string, shape: Conv2d, left: Int32Array, from: number, options: RegisterOptions): void {
    const [, , , , neurons, height, width] = shape
    for (let i = 0; i < left.length; i++) {
      if (left[i] < 0) continue
      const overflow: Overflow = {
        sample: from + Math.floor(i / (neurons * height * width)),
        neuron: Math.floor(i / (height * width)) % neurons,
        place: [Math.floor(i / width) % height, i % width],
        products: left[i],
      }
      if (options.overflow === 'error') throw inWords(layer, overflow, fanInOf(shape), options)
      const seen = this.layers.get(layer) ?? { first: overflow, sums: 0, neurons: new Set() }
      this.layers.set(layer, seen)
      seen.sums++
      seen.neurons.add(overflow.neuron)
    }
  }

  report(): Overflows[] {
    return Array.from(this.layers, ([layer, { first, sums, neurons }]) => ({ layer, sums, neurons: neurons.size, first }))
  }
}

function inWords(layer: string, { sample, neuron, place, products }: Overflow, fanIn: number, { bits, tile }: RegisterOptions): EspalierError {
  const registers = tile === undefined ? `${bits} bits` : `${bits} bits, or its tile ${tile.bits},`
  return new EspalierError(
    'STATE',
    `${layer} neuron ${neuron}: the sum leaves ${registers} after ${products} of ${fanIn} products, at sample ${sample}, row ${place[0]}, column ${place[1]}`,
  )
}
