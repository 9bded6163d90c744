import type { ReferencePoint } from '../../lib/index.js'

/**
 * Concrete ML's TinyCNN on the same split: weights and activations of 2 to 6 bits, 12 active inputs a neuron on
 * average, Adam, batches of 64, 150 epochs. Its accumulators are the largest that its test inputs made, not proved.
 */
export const references: readonly ReferencePoint[] = [
  { bits: 2, accuracy: 0.7289, accumulatorBits: 5 },
  { bits: 3, accuracy: 0.8956, accumulatorBits: 8 },
  { bits: 4, accuracy: 0.96, accumulatorBits: 10 },
  { bits: 5, accuracy: 0.9689, accumulatorBits: 12 },
  { bits: 6, accuracy: 0.9644, accumulatorBits: 13 },
].map(({ bits, ...point }) => ({ ...point, label: `${bits}/${bits}`, activeInputs: 12 }))
