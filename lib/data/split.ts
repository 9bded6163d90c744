import { describe, EspalierError, ensure, realNumber } from '../native/index.js'
import { defaultGenerator, type Generator, Tensor } from '../tensor/index.js'
import { type Dataset, Subset } from './dataset.js'

export interface SplitOptions {
  /** Where the order comes from; by default the global generator. */
  generator?: Generator
}

/**
 * Cuts a dataset into random parts without overlap.
 *
 * @param parts sizes that add up to the dataset's (`[1347, 450]`), or fractions that add up to 1
 * (`[0.8, 0.2]`); what rounding down leaves over goes to the first parts, one each
 * @throws EspalierError INVALID_ARGUMENT for parts that add up to neither
 * @example
 * ```ts
 * import { data, Generator } from 'espalier'
 * const [train, validation] = data.randomSplit(data.digits().train, [0.8, 0.2], { generator: new Generator(1) })
 * train.length + validation.length // 1347
 * ```
 */
export function randomSplit(dataset: Dataset, parts: readonly number[], { generator = defaultGenerator }: SplitOptions = {}): Subset[] {
  const sizes = sizesOf('randomSplit', parts, dataset.length)
  return cut(generator.permutation(dataset.length).data as Int32Array, sizes).map((indices) => new Subset(dataset, indices))
}

/**
 * Cuts a dataset into random parts, each of which holds every label in the proportion of the whole,
 * as near as counts allow.
 *
 * @param labels one a sample: any numbers
 * @param fractions each 0 to 1; they add up to 1
 * @throws EspalierError SHAPE_MISMATCH for more or fewer labels than samples, INVALID_ARGUMENT for fractions that do not add up to 1
 * @example
 * ```ts
 * import { data } from 'espalier'
 * const { train } = data.digits()
 * const [most, rest] = data.stratifiedSplit(train, train.y, [0.9, 0.1]) // each has every digit in its share
 * ```
 */
export function stratifiedSplit(
  dataset: Dataset,
  labels: Tensor | ArrayLike<number>,
  fractions: readonly number[],
  { generator = defaultGenerator }: SplitOptions = {},
): Subset[] {
  const values = labels instanceof Tensor ? labels.data : labels
  ensure(values.length === dataset.length, 'SHAPE_MISMATCH', () => `stratifiedSplit: there are ${values.length} labels for ${dataset.length} samples`)
  const order = generator.permutation(dataset.length).data
  const byLabel = new Map<number, number[]>()
  for (const index of order) {
    const sofar = byLabel.get(values[index])
    if (sofar === undefined) byLabel.set(values[index], [index])
    else sofar.push(index)
  }
  // Labels laid end to end and cut at one set of points: each label's share is right to a sample, and
  // so are the parts' sizes.
  const parts: number[][] = fractions.map(() => [])
  const ends = boundaries('stratifiedSplit', fractions)
  let before = 0
  for (const label of [...byLabel.keys()].sort((a, b) => a - b)) {
    const indices = byLabel.get(label) as number[]
    const reach = ends.map((end) => Math.round(end * (before + indices.length)) - Math.round(end * before))
    let from = 0
    for (const [i, reached] of reach.entries()) {
      const to = Math.max(from, Math.min(indices.length, reached))
      parts[i].push(...indices.slice(from, to))
      from = to
    }
    before += indices.length
  }
  return parts.map((indices) => new Subset(dataset, shuffled(Int32Array.from(indices), generator)))
}

/** Fractions summed up: where each part ends, the last at 1. */
function boundaries(operation: string, fractions: readonly number[]): number[] {
  let sum = 0
  const ends = fractions.map((fraction) => {
    sum += realNumber(`${operation}: a fraction`, fraction, 0, 1)
    return sum
  })
  ensure(fractions.length > 0 && Math.abs(sum - 1) < 1e-9, 'INVALID_ARGUMENT', () => `${operation}: the fractions ${describe(fractions)} do not add up to 1`)
  ends[ends.length - 1] = 1
  return ends
}

function sizesOf(operation: string, parts: readonly number[], total: number): number[] {
  const whole = parts.every((part) => Number.isInteger(part) && part >= 0)
  if (whole && parts.reduce((sum, part) => sum + part, 0) === total) return [...parts]
  if (whole && !(parts.length > 0 && parts.reduce((sum, part) => sum + part, 0) === 1))
    throw new EspalierError('INVALID_ARGUMENT', `${operation}: the sizes ${describe(parts)} do not add up to ${total}`)
  boundaries(operation, parts)
  const sizes = parts.map((part) => Math.floor(part * total + 1e-9))
  let left = total - sizes.reduce((sum, size) => sum + size, 0)
  for (let i = 0; left > 0; i = (i + 1) % sizes.length, left--) sizes[i]++
  return sizes
}

function cut(order: Int32Array, sizes: readonly number[]): Int32Array[] {
  let from = 0
  return sizes.map((size) => {
    from += size
    return order.slice(from - size, from)
  })
}

function shuffled(values: Int32Array, generator: Generator): Int32Array {
  return Int32Array.from(generator.permutation(values.length).data, (at) => values[at])
}
