import { EspalierError } from '../../native/index.js'
import { Conv1d, Conv2d, Linear } from '../../nn/index.js'
import { cast, conv1d, conv2d, matmul, permute, reshape, sum } from '../../ops/index.js'
import { empty, hostValues, type Tensor } from '../../tensor/index.js'
import type { WeightedLayer } from './modules.js'

// How the inputs of a layer go together: all that the best weights for it depend on. A neuron sees rows of
// inputs (for a convolution every position of every sample), of which nothing but sums of products is kept.

/** Sums over all rows, for one group of neurons with the same K inputs. */
export class Moments {
  rows = 0
  /** Σ x̃ᵢx̃ⱼ of the inputs as they are, Σ xᵢx̃ⱼ with the inputs that were meant, and Σ xᵢxⱼ of those: [K, K] each. */
  readonly seen: Float64Array
  readonly cross: Float64Array
  readonly meant: Float64Array
  /** Σ x̃ᵢ and Σ xᵢ: [K] each. */
  readonly seenSums: Float64Array
  readonly meantSums: Float64Array

  constructor(readonly inputs: number) {
    this.seen = new Float64Array(inputs * inputs)
    this.cross = new Float64Array(inputs * inputs)
    this.meant = new Float64Array(inputs * inputs)
    this.seenSums = new Float64Array(inputs)
    this.meantSums = new Float64Array(inputs)
  }

  /** The same of inputs less their means: what is left to match where an offset takes care of the mean. */
  centred(): Moments {
    const { inputs: k, rows } = this
    const result = new Moments(k)
    result.rows = rows
    for (let i = 0; i < k; i++)
      for (let j = 0; j < k; j++) {
        const at = i * k + j
        result.seen[at] = this.seen[at] - (this.seenSums[i] * this.seenSums[j]) / rows
        result.cross[at] = this.cross[at] - (this.meantSums[i] * this.seenSums[j]) / rows
        result.meant[at] = this.meant[at] - (this.meantSums[i] * this.meantSums[j]) / rows
      }
    return result
  }
}

/** Adds a batch to the moments of a layer, one for each of its groups: `seen` goes into the layer, `meant` should. */
export function addMoments(moments: readonly Moments[], layer: WeightedLayer, seen: Tensor, meant: Tensor): void {
  const [rowsSeen, rowsMeant] = [inputRows(layer, seen), inputRows(layer, meant)]
  const products = (a: Tensor, b: Tensor): ArrayLike<number> => hostValues(matmul(a, permute(b, [0, 2, 1])).storage)
  const sums = (a: Tensor): ArrayLike<number> => hostValues(sum(a, { dim: [2] }).storage)
  const { inputs: k } = moments[0]
  const added: [keyof Moments & ('seen' | 'cross' | 'meant' | 'seenSums' | 'meantSums'), ArrayLike<number>][] = [
    ['seen', products(rowsSeen, rowsSeen)],
    ['cross', products(rowsMeant, rowsSeen)],
    ['meant', products(rowsMeant, rowsMeant)],
    ['seenSums', sums(rowsSeen)],
    ['meantSums', sums(rowsMeant)],
  ]
  for (const [group, one] of moments.entries()) {
    one.rows += rowsSeen.shape[2]
    for (const [name, values] of added) {
      const start = group * k * (name.endsWith('Sums') ? 1 : k)
      for (let i = 0; i < one[name].length; i++) one[name][i] += values[start + i]
    }
  }
}

/** Empty moments for each group of a layer. */
export function momentsOf(layer: WeightedLayer): Moments[] {
  const weight = layer.latentWeight('weight')
  const inputs = weight.size / (weight.shape[0] || 1)
  return Array.from({ length: groupsOf(layer) }, () => new Moments(inputs))
}

export const groupsOf = (layer: WeightedLayer): number => (layer instanceof Linear ? 1 : layer.geometry.groups)

/** What each neuron of a layer sees of x: [groups, inputs, rows], float64. */
function inputRows(layer: WeightedLayer, x: Tensor): Tensor {
  const [outputs, ...rest] = layer.latentWeight('weight').shape
  const inputs = rest.reduce((product, size) => product * size, 1)
  const groups = groupsOf(layer)
  if (layer instanceof Linear) return reshape(permute(cast(reshape(x, [-1, inputs]), 'float64'), [1, 0]), [1, inputs, -1])
  // A convolution whose k-th output is its k-th input: one weight of 1 each.
  const pick = empty([groups * inputs, ...rest], x.dtype, 'cpu')
  pick.data.fill(0)
  for (let k = 0; k < groups * inputs; k++) pick.data[k * inputs + (k % inputs)] = 1
  const weight = x.device === 'cpu' ? pick : pick.to(x.device)
  const patches = product(layer, x, weight, outputs)
  return reshape(permute(cast(reshape(patches, [x.shape[0], groups, inputs, -1]), 'float64'), [1, 2, 0, 3]), [groups, inputs, -1])
}

function product(layer: WeightedLayer, x: Tensor, weight: Tensor, outputs: number): Tensor {
  if (layer instanceof Conv2d) return conv2d(x, weight, null, layer.geometry)
  if (layer instanceof Conv1d) return conv1d(x, weight, null, layer.geometry)
  throw new EspalierError('INTERNAL', `no inputs are known of a layer with ${outputs} outputs`)
}
