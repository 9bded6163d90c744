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
  constructor(held: Storage, shape: Shape, dtype: DType) {
    super(held, shape, dtype)
    const put = (what: PropertyDescriptor): void => void Object.defineProperty(this, 'storage', { configurable: true, enumerable: true, ...what })
    put({
      get: () => {
        const storage = this.spread()
        put({ value: storage, writable: true })
        return storage
      },
    })
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
