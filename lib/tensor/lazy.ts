import type { Device, Storage } from '../native/index.js'
import type { DType } from './dtype.js'
import { type Shape, sizeOf } from './shape.js'
import { Tensor } from './tensor.js'

/**
 * A tensor on the CPU that holds its elements in another form. To whoever looks at them it is a tensor like any other:
 * from then on it holds them as such.
 * @internal
 */
export abstract class LazyTensor extends Tensor {
  // One for all: a getter made for each tensor takes as long as a small product.
  static readonly #elements: PropertyDescriptor = {
    configurable: true,
    enumerable: true,
    get(this: LazyTensor): Storage {
      const value = this.spread()
      Object.defineProperty(this, 'storage', { configurable: true, enumerable: true, writable: true, value })
      return value
    },
  }

  constructor(held: Storage, shape: Shape, dtype: DType) {
    super(held, shape, dtype)
    Object.defineProperty(this, 'storage', LazyTensor.#elements)
  }

  /** All elements; the other form is given up. */
  protected abstract spread(): Storage

  override get size(): number {
    return sizeOf(this.shape)
  }

  override get device(): Device {
    return 'cpu'
  }

  override keep(): this {
    return this
  }
}
