// A weight's output channels, as the quantisers that learn something a channel see them.
import { reshape } from '../../ops/index.js'
import { assign, empty, type Tensor } from '../../tensor/index.js'

/** A channel without weights has the norm 0, which nothing can be divided by. */
export const smallest = 1e-10

/** [out] shaped to broadcast over a weight. */
export const perRow = (values: Tensor, weight: Tensor): Tensor => reshape(values, [values.size, ...new Array<number>(weight.rank - 1).fill(1)])

/** All dimensions of a weight but that of its channels. */
export const within = (weight: Tensor): { dim: number[]; keepdim: true } => ({ dim: Array.from({ length: weight.rank - 1 }, (_, i) => i + 1), keepdim: true })

/** Overwrites a tensor, wherever it is, with values of float64. */
export function overwrite(to: Tensor, values: Float64Array): void {
  const rounded = empty(to.shape, to.dtype, 'cpu')
  rounded.data.set(values as never)
  assign(to.storage, rounded.storage)
}
