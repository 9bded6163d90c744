import type { IntegerRange } from '../quant/index.js'
import { type Link, type Operand, type Plan, type Ref, readsOf, type Step, type View } from './plan.js'

// A plan as bytes, as native/program/program.cc reads them: docs/programs.md has the fields. Whole numbers take 64
// bits, little-endian.

class Bytes {
  private buffer = new Uint8Array(1 << 16)
  private view = new DataView(this.buffer.buffer)
  private used = 0

  get written(): Uint8Array {
    return this.buffer.subarray(0, this.used)
  }

  private room(count: number): number {
    const at = this.used
    this.used += count
    if (this.used > this.buffer.length) {
      const grown = new Uint8Array(Math.max(this.used, 2 * this.buffer.length))
      grown.set(this.buffer)
      this.buffer = grown
      this.view = new DataView(grown.buffer)
    }
    return at
  }

  whole(...values: number[]): this {
    for (const value of values) {
      const at = this.room(8)
      this.view.setBigInt64(at, BigInt(value), true)
    }
    return this
  }
  flag(value: boolean): this {
    return this.whole(value ? 1 : 0)
  }
  real(value: number): this {
    const at = this.room(8)
    this.view.setFloat64(at, value, true)
    return this
  }
  float(value: number): this {
    const at = this.room(4)
    this.view.setFloat32(at, value, true)
    return this
  }
  bytes(values: Uint8Array): this {
    const at = this.room(values.length)
    this.buffer.set(values, at)
    return this
  }
  list(values: readonly number[]): this {
    return this.whole(values.length, ...values)
  }
  text(value: string): this {
    const encoded = new TextEncoder().encode(value)
    return this.whole(encoded.length).bytes(encoded)
  }
}

/** Names longer than a file may have keep their end, which tells more. */
const shortened = (name: string, most: number): string => (new TextEncoder().encode(name).length <= most ? name : name.slice(-Math.floor(most / 4)))

/** The kinds of steps, in the order of the table in native/program/steps.cc. */
export const kinds = [
  ...(['linear', 'conv', 'convTranspose', 'chain', 'broadcast', 'pool', 'adaptivePool'] as const),
  ...(['softmax', 'layerNorm', 'sum', 'extreme', 'move', 'fill', 'matmul'] as const),
] as const

export function describe({ input, steps, output, outputShape }: Plan): Uint8Array {
  const refs = new Map<Ref, number>([[input, 0]])
  for (const step of steps) for (const ref of [...readsOf(step), step.y]) if (!refs.has(ref)) refs.set(ref, refs.size)
  const constants = new Map<Float32Array, number>()
  const body = new Bytes()
  for (const step of steps) putStep(step)

  const head = new Bytes().whole(constants.size)
  for (const data of constants.keys()) putConstant(head, data)
  head.list(Array.from(refs.keys(), ({ size }) => size))
  const [rows, ...rest] = outputShape
  head
    .whole(refs.get(output) as number)
    .list(input.shape.slice(1))
    .whole(rows)
    .list(rest)
    .whole(steps.length)
  // No format was found by measurement yet.
  return head.bytes(body.written).whole(0).written

  function value(ref: Ref | null): number {
    return refs.get(ref as Ref) as number
  }
  function constant(data: Float32Array): number {
    const known = constants.get(data)
    if (known !== undefined) return known
    constants.set(data, constants.size)
    return constants.size - 1
  }
  function optional(data: Float32Array | null): void {
    body.flag(data !== null)
    if (data !== null) body.whole(constant(data))
  }
  function optionalRange(range: IntegerRange | null): void {
    body.flag(range !== null)
    if (range !== null) body.whole(range.min, range.max)
  }
  function operand(of: Operand): void {
    body
      .flag('ref' in of)
      .whole('ref' in of ? value(of.ref) : constant(of.data))
      .list(of.dims)
  }
  function view({ strides, offset }: View): void {
    body.list(strides).whole(offset)
  }
  function link(of: Link): void {
    body.whole(['unary', 'scalar', 'channel', 'value'].indexOf(of.form), of.kind)
    if (of.form === 'unary') body.real(of.p).real(of.q)
    else if (of.form === 'scalar') body.real(of.by)
    else if (of.form === 'channel') body.whole(constant(of.by), of.inner)
    else body.whole(value(of.by))
  }

  function putStep({ layer, operation, x, y, work }: Step): void {
    body.whole(kinds.indexOf(work.kind)).text(shortened(layer, 1024)).text(shortened(operation, 64))
    switch (work.kind) {
      case 'linear':
        body.whole(value(x), value(y), work.rows, work.columns, constant(work.weight))
        optional(work.bias)
        body.flag(work.relu)
        optionalRange(work.codes)
        body.whole(work.vectors)
        break
      case 'conv':
        body.whole(value(x), value(y), ...work.geometry, constant(work.weight))
        optional(work.bias)
        body.flag(work.relu)
        optionalRange(work.codes)
        break
      case 'convTranspose':
        body.whole(value(x), value(y), ...work.geometry, constant(work.weight))
        optional(work.bias)
        break
      case 'chain':
        body.whole(value(x), value(y), work.links.length)
        work.links.forEach(link)
        break
      case 'broadcast':
        body.whole(value(y), work.function)
        operand(work.a)
        operand(work.b)
        break
      case 'pool':
        body.whole(['max', 'mean', 'meanInside'].indexOf(work.of), value(x), value(y), ...work.sizes)
        break
      case 'adaptivePool':
        body.whole(['mean', 'max'].indexOf(work.of), value(x), value(y), ...work.sizes)
        break
      case 'softmax':
        body.flag(work.logarithm).whole(value(x), value(y), work.length, work.inner)
        break
      case 'layerNorm':
        body.whole(value(x), value(y), work.length)
        optional(work.weight)
        optional(work.bias)
        body.real(work.eps)
        break
      case 'sum':
        body.whole(value(x), value(y)).list(work.dims).list(work.reduced).real(work.divisor)
        break
      case 'extreme':
        body.flag(work.largest).whole(value(x), value(y), work.length, work.inner)
        break
      case 'move':
        body.whole(value(x), value(y)).list(work.dims)
        view(work.from)
        view(work.to)
        break
      case 'fill':
        body.whole(value(y)).real(work.value)
        break
      case 'matmul':
        body.whole(value(y), work.m, work.n, work.k)
        operand(work.a)
        operand(work.b)
        body.list(work.batch)
    }
  }
}

// How a constant's elements are stored, in any combination; see read_tensor in native/program/program.cc.
const packed = 1
const bytes = 2

/** A constant as small as it goes: zeros as bits, small whole numbers as bytes. */
function putConstant(to: Bytes, data: Float32Array): void {
  let kept = 0
  let whole = true
  for (const value of data) {
    if (value !== 0) kept++
    if (!(value >= -128 && value <= 127) || value !== Math.trunc(value) || Object.is(value, -0)) whole = false
  }
  const each = whole ? 1 : 4
  const isPacked = kept * each + data.length / 8 < data.length * each
  to.whole(data.length, (isPacked ? packed : 0) | (whole ? bytes : 0))
  if (isPacked) {
    const present = new Uint8Array(Math.ceil(data.length / 8))
    for (let i = 0; i < data.length; i++) if (data[i] !== 0) present[i >> 3] |= 1 << (i & 7)
    to.bytes(present)
  }
  for (const value of data) {
    if (isPacked && value === 0) continue
    if (whole) to.bytes(Uint8Array.of(value))
    else to.float(value)
  }
}
