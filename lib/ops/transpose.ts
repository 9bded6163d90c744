import { asTensor } from '../autograd/index.js'
import { axisOf, type Tensor } from '../tensor/index.js'
import { permute } from './permute.js'

/** x with two dimensions exchanged; without their numbers, the last two. Copies. */
export function transpose(x: Tensor, dim0 = -2, dim1 = -1): Tensor {
  const { rank } = asTensor('transpose', 'x', x)
  const order = Array.from({ length: rank }, (_, d) => d)
  const [first, second] = [axisOf('transpose', dim0, rank), axisOf('transpose', dim1, rank)]
  if (rank > 0) [order[first], order[second]] = [order[second], order[first]]
  return permute(x, order)
}
