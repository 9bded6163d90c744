import { Tensor } from '../tensor/index.js'

/**
 * A tensor that a module learns: assigned to a field of a module, it is found by `parameters()` and
 * saved by `stateDict()`. It takes over the storage of the tensor it is made from.
 *
 * @example
 * ```ts
 * import { nn, ones, type Tensor } from 'espalier'
 * class Scale extends nn.Module {
 *   factor = new nn.Parameter(ones([1]))
 *   forward(x: Tensor) {
 *     return x.mul(this.factor)
 *   }
 * }
 * ```
 */
export class Parameter extends Tensor {
  constructor(value: Tensor, requiresGrad = true) {
    super(value.storage, value.shape, value.dtype, requiresGrad)
    this.keep()
  }
}
