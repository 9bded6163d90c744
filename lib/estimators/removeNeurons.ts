import { noGrad } from '../autograd/index.js'
import { type Linear, maskOf, removeMask, type Sequential, type StateDict } from '../nn/index.js'
import { indexSelect, square, sum } from '../ops/index.js'
import { Tensor } from '../tensor/index.js'
import { linearLayers, type Sizes, sizesOf } from './network.js'

/**
 * A network without the weakest neurons of each hidden layer, those whose weights have the least L2
 * norm (of equal ones the higher index goes first): their rows, biases and whatever else is kept a
 * neuron are gone, and so are the columns of the next layer that they fed. One neuron always stays.
 *
 * @param fraction of a hidden layer's neurons, 0 up to 1, rounded to a whole number of them
 * @param make a network of the given sizes, to be filled
 */
export function removeNeurons(network: Sequential, fraction: number, make: (sizes: Sizes) => Sequential): Sequential {
  const sizes = sizesOf(network)
  const layers = linearLayers(network)
  // What enters and leaves the network stays whole; between two layers the neurons of the first do.
  const kept = [everything(sizes[0]), ...layers.slice(0, -1).map(({ weight }) => strongest(weight, fraction)), everything(sizes[sizes.length - 1])]
  const smaller = make(kept.map((indices) => indices.size))

  const state: StateDict = { ...network.stateDict() }
  for (const [name, layer] of network.namedChildren()) {
    const i = layers.indexOf(layer as Linear)
    if (i < 0) continue
    // All that a layer holds has a row a neuron, and a weight a column an input.
    for (const [key, tensor] of Object.entries(state)) {
      if (!key.startsWith(`${name}.`)) continue
      const rows = noGrad(() => indexSelect(tensor, 0, kept[i + 1]))
      state[key] = tensor.rank === 1 ? rows : noGrad(() => indexSelect(rows, 1, kept[i]))
    }
  }
  // A frozen network's masks are in its weights; what limits the inputs of a neuron draws new ones.
  for (const layer of linearLayers(smaller)) if (maskOf(layer, 'weight') !== null) removeMask(layer, 'weight')
  smaller.loadStateDict(state)
  return smaller
}

const indices = (values: readonly number[]): Tensor => new Tensor(Int32Array.from(values), [values.length], 'int32')
const everything = (count: number): Tensor => indices(Array.from({ length: count }, (_, i) => i))

/** The neurons that stay, in their order. */
function strongest(weight: Tensor, fraction: number): Tensor {
  const rows = weight.shape[0]
  const { data: squares } = noGrad(() => sum(square(weight), { dim: 1 }))
  const count = Math.max(1, rows - Math.round(fraction * rows))
  const order = Array.from({ length: rows }, (_, row) => row).sort((a, b) => squares[b] - squares[a] || a - b)
  return indices(order.slice(0, count).sort((a, b) => a - b))
}
