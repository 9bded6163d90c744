import { describe, EspalierError, ensure } from '../native/index.js'
import { Tensor } from '../tensor/index.js'
import { gatherRows, stackRows } from './rows.js'
import type { Transform } from './transforms/transform.js'

/** Tensors that belong together, usually [x, y]; in a batch each has the batch as its first dimension. */
export type Sample = readonly Tensor[]

/** Samples by number. */
export interface Dataset {
  readonly length: number
  /** One sample, without a batch dimension. */
  get(index: number): Sample
  /** Several at once; where it is missing, samples are stacked. */
  batch?(indices: ArrayLike<number>): Sample
}

/**
 * Samples in tensors that share their first dimension: sample i is row i of each.
 *
 * @example
 * ```ts
 * import { data, tensor, zeros } from 'espalier'
 * const set = new data.TensorDataset(zeros([3, 8]), tensor(new Int32Array([0, 1, 0])))
 * set.get(1)[0].shape // [8]
 * ```
 */
export class TensorDataset implements Dataset {
  readonly tensors: Sample
  readonly length: number

  constructor(...tensors: Tensor[]) {
    ensure(tensors.length > 0, 'INVALID_ARGUMENT', () => 'TensorDataset: no tensors')
    for (const [i, tensor] of tensors.entries()) {
      ensure(
        tensor instanceof Tensor && tensor.rank > 0,
        'INVALID_ARGUMENT',
        () => `TensorDataset: argument ${i} is ${describe(tensor)}, expected a tensor with rows`,
      )
      ensure(
        tensor.shape[0] === tensors[0].shape[0],
        'SHAPE_MISMATCH',
        () => `TensorDataset: tensor ${i} has ${tensor.shape[0]} rows, the first ${tensors[0].shape[0]}`,
      )
    }
    this.tensors = tensors
    this.length = tensors[0].shape[0]
  }

  /** The first tensor: what goes into a model. */
  get x(): Tensor {
    return this.tensors[0]
  }

  /** The second tensor: what should come out. */
  get y(): Tensor {
    ensure(this.tensors.length > 1, 'STATE', () => 'TensorDataset: there is no second tensor')
    return this.tensors[1]
  }

  get(index: number): Sample {
    checkIndex(index, this.length)
    return this.tensors.map((tensor) => {
      const row = tensor.size / this.length
      if (tensor.device !== 'cpu') return new Tensor(gatherRows(tensor, [index]).storage, tensor.shape.slice(1), tensor.dtype)
      return new Tensor(tensor.data.slice(index * row, (index + 1) * row), tensor.shape.slice(1), tensor.dtype)
    })
  }

  batch(indices: ArrayLike<number>): Sample {
    return this.tensors.map((tensor) => gatherRows(tensor, indices))
  }
}

/** Some samples of another dataset, in the order of `indices`. */
export class Subset implements Dataset {
  constructor(
    readonly dataset: Dataset,
    readonly indices: Int32Array,
  ) {
    for (const index of indices) checkIndex(index, dataset.length)
  }

  get length(): number {
    return this.indices.length
  }

  get(index: number): Sample {
    checkIndex(index, this.length)
    return this.dataset.get(this.indices[index])
  }

  batch(indices: ArrayLike<number>): Sample {
    return batchOf(
      this.dataset,
      Int32Array.from(indices, (index) => this.indices[checkIndex(index, this.length)]),
    )
  }
}

/** A dataset whose x passes through `transform` when it is asked for: conversions, normalisation, augmentation. */
export function mapped(dataset: Dataset, transform: Transform): Dataset {
  const batch = (indices: ArrayLike<number>): Sample => {
    const [x, ...rest] = batchOf(dataset, indices)
    return [transform(x), ...rest]
  }
  return {
    get length() {
      return dataset.length
    },
    get: (index) => batch([index]).map(({ storage, shape, dtype }) => new Tensor(storage, shape.slice(1), dtype)),
    batch,
  }
}

/** A batch of any dataset. */
export function batchOf(dataset: Dataset, indices: ArrayLike<number>): Sample {
  if (dataset.batch !== undefined) return dataset.batch(indices)
  const samples = Array.from(indices, (index) => dataset.get(index))
  if (samples.length === 0) throw new EspalierError('INVALID_ARGUMENT', 'a batch of no samples has no shape')
  return samples[0].map((_, part) => stackRows(samples.map((sample) => sample[part])))
}

/** An index of a sample, else an error. */
export function checkIndex(index: number, length: number): number {
  if (!Number.isInteger(index) || index < 0 || index >= length)
    throw new EspalierError('INVALID_ARGUMENT', `the sample's index is ${describe(index)}, expected 0 to ${length - 1}`)
  return index
}
