import type { Value } from '../../graph/index.js'
import { stridesOf } from '../../ops/strided.js'
import { axisOf } from '../../tensor/index.js'
import type { Lower, Lowering } from '../lower.js'
import { Ref, type View } from '../plan.js'

// A sample's elements in their order stay where they are under another shape: no step. Others are copied by steps.
// A value's first dimension goes to the sample as it is: dimensions here include it.

/** The same elements, seen in another shape. */
const reshaped: Lower = (of) => of.ref(of.value(0))

function move(of: Lowering, dims: readonly number[], from: Partial<View>, to: Partial<View> = {}, y?: Ref): Ref {
  const view = ({ strides = stridesOf(dims), offset = 0 }: Partial<View>): View => ({ strides, offset })
  return of.emit(of.ref(of.value(0)), { kind: 'move', dims, from: view(from), to: view(to) }, { y })
}

const permute: Lower = (of) => {
  const dims = of.dims(of.value(0))
  const order = (of.node.args[1] as readonly number[]).map((dim) => axisOf('permute', dim, dims.length))
  if (order[0] !== 0) throw of.refusal('it moves the batch')
  const strides = stridesOf(dims)
  return move(of, of.outDims, { strides: order.map((d) => strides[d]) })
}

const slice: Lower = (of) => {
  const { dim = 0, start = 0, step = 1 } = (of.node.args[1] ?? {}) as { dim?: number; start?: number | null; step?: number }
  const dims = of.dims(of.value(0))
  const axis = axisOf('slice', dim, dims.length)
  if (axis === 0) throw of.refusal('it takes part of the batch')
  const strides = stridesOf(dims)
  const first = start === null ? 0 : Math.min(dims[axis], Math.max(0, start < 0 ? start + dims[axis] : start))
  return move(of, of.outDims, { strides: strides.map((stride, d) => (d === axis ? stride * step : stride)), offset: first * strides[axis] })
}

const pad: Lower = (of) => {
  const [, pads, { value = 0 } = {}] = of.node.args as [Value, readonly number[], { value?: number }?]
  const x = of.value(0)
  const dims = of.dims(x)
  const before = dims.map((_, d) => pads[2 * (dims.length - 1 - d)] ?? 0)
  if (of.outDims[0] !== dims[0]) throw of.refusal('it adds to the batch')
  if (before.some((count) => count < 0)) throw of.refusal('it takes elements away')
  const strides = stridesOf(of.outDims)
  of.ref(x)
  const y = of.emit(null, { kind: 'fill', value })
  return move(of, dims, {}, { strides, offset: strides.reduce((sum, stride, d) => sum + stride * before[d], 0) }, y)
}

const expand: Lower = (of) => {
  const dims = of.dims(of.value(0))
  const out = of.outDims
  const lead = out.length - dims.length
  if (lead > 0) throw of.refusal('it puts dimensions in front of the batch')
  const strides = stridesOf(dims)
  return move(of, out, { strides: strides.map((stride, d) => (dims[d] === out[d] ? stride : 0)) })
}

const concat: Lower = (of) => {
  const [parts, dim = 0] = of.node.args as [readonly Value[], number?]
  const out = of.outDims
  const axis = axisOf('concat', dim, out.length)
  if (axis === 0) throw of.refusal('it adds to the batch')
  const strides = stridesOf(out)
  const y = new Ref(out)
  let place = 0
  // Every part is made before the first is copied.
  const from = parts.map((part) => (part.kind === 'constant' ? null : of.ref(part)))
  for (const [i, part] of parts.entries()) {
    const x = from[i]
    if (x === null) throw of.refusal('one of its parts is a constant')
    const dims = of.dims(part)
    const to = { strides, offset: place * strides[axis] }
    of.emit(x, { kind: 'move', dims, from: { strides: stridesOf(dims), offset: 0 }, to }, { y })
    place += dims[axis]
  }
  return y
}

export const moves: Record<string, Lower> = { flatten: reshaped, reshape: reshaped, permute, slice, pad, expand, concat }
