import { DataLoader, type Dataset, type LoaderOptions, type Sample } from '../data/index.js'
import { cudaInUse, type Device, describe, EspalierError } from '../native/index.js'
import type { Module } from '../nn/index.js'
import '../ops/index.js'
import { isFloat } from '../tensor/index.js'

/** Where batches come from: a dataset, a loader, or anything that gives [x, …, target] again and again. */
export type Source = Dataset | Iterable<Sample> | AsyncIterable<Sample>

/** A source as batches, and how many a pass has where that is known. */
export function batchesOf(name: string, source: Source, options: LoaderOptions): { batches: Iterable<Sample> | AsyncIterable<Sample>; count: number | null } {
  if (typeof source === 'object' && source !== null) {
    if (Symbol.iterator in source || Symbol.asyncIterator in source)
      return { batches: source, count: 'length' in source && typeof source.length === 'number' ? source.length : null }
    if ('get' in source && 'length' in source) {
      const loader = new DataLoader(source, options)
      return { batches: loader, count: loader.length }
    }
  }
  throw new EspalierError('INVALID_ARGUMENT', `${name} is ${describe(source)}, expected a dataset or a loader`)
}

/** The type a network computes in, where not that of its parameters. */
export type InputDType = 'float16' | 'bfloat16'

/** A batch taken apart, on a device: what goes into the model, what should come out, and how many samples it has. */
export function inputsAndTarget(name: string, batch: Sample, device: Device, dtype?: InputDType): { inputs: Sample; target: Sample[number]; samples: number } {
  if (!Array.isArray(batch) || batch.length < 2) throw new EspalierError('INVALID_ARGUMENT', `${name}: a batch is ${describe(batch)}, expected [x, …, target]`)
  const there: Sample = cudaInUse() ? batch.map((part: Sample[number]) => part.to(device)) : batch
  const inputs = there.slice(0, -1)
  return {
    inputs: dtype === undefined ? inputs : inputs.map((input) => (isFloat(input.dtype) ? input.to(dtype) : input)),
    target: there[there.length - 1],
    samples: there[0].shape[0] ?? 1,
  }
}

/** Where a model lives: where its first parameter is. */
export function deviceOfModel(model: Module): Device {
  for (const [, parameter] of model.namedParameters()) return parameter.device
  return 'cpu'
}
