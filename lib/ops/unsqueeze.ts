import { asTensor } from '../autograd/index.js'
import { axisOf, type Tensor } from '../tensor/index.js'
import { reshape } from './reshape.js'

/** With a new dimension of 1 at place `dim` of the result. The storage is shared. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  const { shape, rank } = asTensor('unsqueeze', 'x', x)
  return reshape(x, shape.toSpliced(axisOf('unsqueeze', dim, rank + 1), 0, 1))
}
