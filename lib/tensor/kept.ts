import { native } from '../native/index.js'
import { type DType, dtypeOf } from './dtype.js'
import { LazyTensor } from './lazy.js'
import { allocate, recycle } from './memory.js'
import { panelsOf } from './panels.js'
import { converted, hostValues } from './placement.js'
import { type Shape, sizeOf } from './shape.js'
import { Tensor } from './tensor.js'

/** Which entries of a tensor its mask keeps. The same array of positions stands for the same entries. */
export interface KeptEntries {
  readonly shape: Shape
  /** The mask: 1 where an entry is kept, else 0. */
  readonly mask: Tensor
  /** Where they stand, ascending (int32). */
  readonly positions: Int32Array
}

/** The kept entries of a tensor, one after the other. Those of one on a GPU come over the CPU. */
export function gathered({ storage, dtype, device }: Tensor, { positions }: Pick<KeptEntries, 'positions'>): Tensor {
  const from = hostValues(storage)
  const values = allocate(dtypeOf(from) as DType, positions.length)
  native.gatherKept(from, positions, values)
  return new Tensor(device === 'cpu' ? values : converted(values, dtype, device), [positions.length], dtype)
}

/** The reverse: a tensor that is 0 but at these entries. */
export function scattered(values: Tensor, entries: KeptEntries): Tensor {
  const { storage, dtype, device } = values
  if (device === 'cpu') return new KeptTensor(values, entries)
  const from = hostValues(storage)
  const dense = allocate(dtypeOf(from) as DType, sizeOf(entries.shape)).fill(0 as never)
  native.scatterKept(from, entries.positions, dense)
  return new Tensor(converted(dense, dtype, device), entries.shape, dtype)
}

// Tensors that hold their kept entries alone: what stands at these in their storage is out of date.
const alone = new WeakMap<Tensor, { readonly entries: KeptEntries; readonly values: Tensor }>()

/** Whether a tensor holds the kept entries of some mask alone. */
export const isAlone = (tensor: Tensor): boolean => alone.has(tensor)

/** The values of a tensor that holds those of these entries alone, else null. */
export function aloneIn(tensor: Tensor, entries: KeptEntries): Tensor | null {
  const present = alone.get(tensor)
  return present?.entries.positions === entries.positions ? present.values : null
}

/**
 * Lets a tensor on the CPU hold what a mask keeps of it alone, from now on: the values that are returned, which may be
 * written to. When someone next looks at its elements they are put back where they belong, and it is a tensor like any
 * other. Null where its elements may be in someone's hands, who would look at old ones.
 */
export function keptAlone(tensor: Tensor, entries: KeptEntries): Tensor | null {
  const present = aloneIn(tensor, entries)
  if (present !== null) return present
  if (tensor.shown) return null
  const { storage } = tensor
  const values = gathered(tensor, entries)
  alone.set(tensor, { entries, values })
  const put = (value: PropertyDescriptor): void => void Object.defineProperty(tensor, 'storage', { configurable: true, enumerable: true, ...value })
  put({
    get() {
      alone.delete(tensor)
      native.scatterKept(values.storage, entries.positions, storage)
      put({ value: storage, writable: true })
      return storage
    },
  })
  return values
}

/**
 * A tensor on the CPU that is 0 but at some entries, and holds those alone: the gradient of a masked weight. To
 * whoever looks at its elements it is a tensor like any other; from then on it holds all of them.
 * @internal
 */
export class KeptTensor extends LazyTensor {
  /** What is kept, one after the other; null once someone has looked at all. */
  values: Tensor | null

  constructor(
    values: Tensor,
    readonly entries: KeptEntries,
  ) {
    super(values.storage, entries.shape, values.dtype)
    this.values = values
  }

  override copy(): Tensor {
    return this.values === null ? super.copy() : new KeptTensor(this.values.copy(), this.entries)
  }

  override release(): void {
    recycle((this.values ?? this).storage)
  }

  protected override spread(): Tensor['storage'] {
    const dense = allocate(this.dtype, this.size).fill(0 as never)
    native.scatterKept((this.values as Tensor).storage, this.entries.positions, dense)
    this.values = null
    return dense
  }
}

const held = (tensor: Tensor): Tensor['storage'] =>
  panelsOf(tensor) ?? (tensor instanceof KeptTensor && tensor.values !== null ? tensor.values : tensor).storage

/** Whether two tensors hold the same memory; looks at neither's elements. */
export const sharesStorage = (a: Tensor, b: Tensor): boolean => held(a) === held(b)

/** sum += x, both of one shape and dtype. */
export function accumulate(x: Tensor, sum: Tensor): void {
  const alike =
    x instanceof KeptTensor && sum instanceof KeptTensor && x.entries.positions === sum.entries.positions && x.values !== null && sum.values !== null
  native.accumulate(alike ? held(x) : x.storage, alike ? held(sum) : sum.storage)
}
