import type { Value } from '../../graph/index.js'
import { type DilatedPoolOptions, type Extent, extents } from '../../ops/pooling.js'
import { axisOf } from '../../tensor/index.js'
import type { Lower, Lowering } from '../lower.js'

const product = (dims: readonly number[]): number => dims.reduce((size, dimension) => size * dimension, 1)

/** One spatial dimension is a plane of height 1. */
const pool =
  (kind: 'max' | 'mean', spatial: 1 | 2): Lower =>
  (of) => {
    const options = of.node.args[1] as unknown as DilatedPoolOptions & { countIncludePad?: boolean }
    const x = of.value(0)
    const plane = (values: readonly number[], height: number): number[] => (spatial === 1 ? [height, values[0]] : [values[0], values[1]])
    const extent = (name: string, value: Extent, low: number): readonly number[] => extents(of.node.op, name, value, spatial, low)
    const sizes = [
      plane(of.dims(x).slice(-spatial), 1),
      plane(of.outDims.slice(-spatial), 1),
      plane(extent('kernelSize', options.kernelSize, 1), 1),
      plane(extent('stride', options.stride ?? options.kernelSize, 1), 1),
      plane(extent('padding', options.padding ?? 0, 0), 0),
      plane(extent('dilation', (kind === 'max' && options.dilation) || 1, 1), 1),
    ].flat()
    return of.emit(of.ref(x), { kind: 'pool', of: kind === 'mean' && options.countIncludePad === false ? 'meanInside' : kind, sizes })
  }

const adaptive =
  (kind: 'max' | 'mean'): Lower =>
  (of) => {
    const x = of.value(0)
    return of.emit(of.ref(x), { kind: 'adaptivePool', of: kind, sizes: [...of.dims(x).slice(-2), ...of.outDims.slice(-2)] })
  }

/** A dimension of a value, never the first. */
function axis(of: Lowering, dims: readonly number[], dim: number): number {
  const at = axisOf(of.node.op, dim, dims.length)
  if (at === 0) throw of.refusal('it runs along the batch')
  return at
}

const softmax =
  (logarithm: boolean): Lower =>
  (of) => {
    const x = of.value(0)
    const dims = of.dims(x)
    const at = axis(of, dims, (of.node.args[1] as number | undefined) ?? -1)
    return of.emit(of.ref(x), { kind: 'softmax', logarithm, length: dims[at], inner: product(dims.slice(at + 1)) })
  }

const layerNorm: Lower = (of) => {
  const [, weight, bias, { normalizedShape, eps = 1e-5 }] = of.node.args as unknown as [
    Value,
    Value | null | undefined,
    Value | null | undefined,
    { normalizedShape: number | number[]; eps?: number },
  ]
  const length = product([normalizedShape].flat())
  return of.emit(of.ref(of.value(0)), { kind: 'layerNorm', length, weight: of.optional(weight), bias: of.optional(bias), eps })
}

const sum =
  (mean: boolean): Lower =>
  (of) => {
    const { dim = null } = (of.node.args[1] ?? {}) as { dim?: number | readonly number[] | null }
    const x = of.value(0)
    const dims = of.dims(x)
    if (dim === null) throw of.refusal('it runs along the batch')
    const at = [dim].flat().map((one) => axis(of, dims, one))
    const reduced = dims.map((_, d) => (at.includes(d) ? 1 : 0))
    const divisor = mean ? at.reduce((count, d) => count * dims[d], 1) : 1
    return of.emit(of.ref(x), { kind: 'sum', dims, reduced, divisor })
  }

const extreme =
  (largest: boolean): Lower =>
  (of) => {
    const { dim = null } = (of.node.args[1] ?? {}) as { dim?: number | null }
    const x = of.value(0)
    const dims = of.dims(x)
    if (dim === null) throw of.refusal('it runs along the batch')
    const at = axis(of, dims, dim)
    return of.emit(of.ref(x), { kind: 'extreme', largest, length: dims[at], inner: product(dims.slice(at + 1)) })
  }

export const lines: Record<string, Lower> = {
  max_pool2d: pool('max', 2),
  max_pool1d: pool('max', 1),
  avg_pool2d: pool('mean', 2),
  avg_pool1d: pool('mean', 1),
  adaptive_avg_pool2d: adaptive('mean'),
  adaptive_max_pool2d: adaptive('max'),
  softmax: softmax(false),
  log_softmax: softmax(true),
  layer_norm: layerNorm,
  sum: sum(false),
  mean: sum(true),
  max: extreme(true),
  min: extreme(false),
}
