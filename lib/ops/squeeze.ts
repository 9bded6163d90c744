import { asTensor } from '../autograd/index.js'
import { axisOf, type Tensor } from '../tensor/index.js'
import { reshape } from './reshape.js'

/** Without dimension `dim` if it is 1, or without every dimension of 1. The storage is shared. */
export function squeeze(x: Tensor, dim: number | null = null): Tensor {
  const { shape, rank } = asTensor('squeeze', 'x', x)
  const only = dim === null ? null : axisOf('squeeze', dim, rank)
  return reshape(
    x,
    shape.filter((dimension, d) => dimension !== 1 || (only !== null && d !== only)),
  )
}
