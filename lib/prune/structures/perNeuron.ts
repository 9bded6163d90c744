import { ensure } from '../../native/index.js'
import { formatShape } from '../../tensor/index.js'
import { isTransposed } from './along.js'
import { element } from './element.js'
import type { Structure } from './structure.js'

/**
 * Single weights fall, counted and ranked among the inputs of each neuron (filter) for itself. With
 * `keep(n)` it caps the fan-in; with the score `wanda` it is Wanda.
 */
export const perNeuron: Structure = {
  ...element,
  name: 'perNeuron',
  groups(shape) {
    ensure(shape.length >= 2, 'INVALID_ARGUMENT', () => `perNeuron: the weight has shape ${formatShape(shape)}, expected two dimensions or more`)
    return [shape[0], shape.slice(1).reduce((size, dimension) => size * dimension, 1), 1]
  },
  on(module) {
    ensure(!isTransposed('perNeuron', module), 'INVALID_ARGUMENT', () => 'perNeuron: the inputs of a neuron of a transposed convolution do not lie together')
    return perNeuron
  },
}
