import type { Device } from '../native/index.js'
import { isAlone, sizeOf, Tensor } from '../tensor/index.js'

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
    this.shown = value.shown
    this.keep()
  }

  // What can be said without a look at the elements, which may be held as what a mask keeps of them alone.
  override get size(): number {
    return sizeOf(this.shape)
  }
  override get device(): Device {
    return isAlone(this) ? 'cpu' : super.device
  }
  override keep(): this {
    return isAlone(this) ? this : super.keep()
  }
}
