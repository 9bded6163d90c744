import { wholeNumber } from '../native/index.js'
import { defaultGenerator, type Generator } from '../tensor/index.js'
import { batchOf, type Dataset, type Sample } from './dataset.js'
import type { Transform } from './transforms/transform.js'

export interface LoaderOptions {
  /** Samples a batch. Default 1. */
  batchSize?: number
  /** Draw a new order for each pass. Default false. */
  shuffle?: boolean
  /** Leave out a last batch that is not full. Default false. */
  dropLast?: boolean
  /** Where the orders come from; by default the global generator. */
  generator?: Generator
  /** What the x of each batch passes through. */
  transform?: Transform
}

/**
 * The batches of a dataset: iterate over it once an epoch.
 *
 * @example
 * ```ts
 * import { data } from 'espalier'
 * const { train } = data.digits()
 * for (const [x, y] of new data.DataLoader(train, { batchSize: 64, shuffle: true })) {
 *   // x: [64, 1, 8, 8], y: [64]
 * }
 * ```
 */
export class DataLoader implements Iterable<Sample> {
  readonly batchSize: number

  constructor(
    readonly dataset: Dataset,
    readonly options: LoaderOptions = {},
  ) {
    this.batchSize = wholeNumber('DataLoader: batchSize', options.batchSize ?? 1, 1)
  }

  /** Batches a pass. */
  get length(): number {
    const count = this.dataset.length / this.batchSize
    return this.options.dropLast ? Math.floor(count) : Math.ceil(count)
  }

  *[Symbol.iterator](): IterableIterator<Sample> {
    const { shuffle = false, generator = defaultGenerator, transform } = this.options
    const size = this.dataset.length
    const order = shuffle ? (generator.permutation(size).data as Int32Array) : Int32Array.from({ length: size }, (_, i) => i)
    for (let batch = 0, count = this.length; batch < count; batch++) {
      const [x, ...rest] = batchOf(this.dataset, order.subarray(batch * this.batchSize, (batch + 1) * this.batchSize))
      yield [transform === undefined ? x : transform(x), ...rest]
    }
  }
}
