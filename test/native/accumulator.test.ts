import test from 'ava'
import { type Conv2d, EspalierError, native, Overflow, Summing } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const random = randomSource(31)
const below = (count: number): number => Math.floor(random() * count)
const codes = (length: number, low: number, high: number): Int32Array => Int32Array.from({ length }, () => low + below(high - low + 1))

function shuffled(count: number): Int32Array {
  const order = Int32Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = below(i + 1)
    ;[order[i], order[j]] = [order[j], order[i]]
  }
  return order
}

interface Options {
  order?: Int32Array
  worst?: boolean
  bits: number
  saturate: boolean
  tile?: number
  tileBits?: number
}

/** A register by its definition, one number at a time. */
class Register {
  value = 0
  first = -1

  constructor(
    readonly bits: number,
    readonly saturate: boolean,
  ) {}

  add(term: number, step: number): void {
    const [low, high] = [-(2 ** (this.bits - 1)), 2 ** (this.bits - 1) - 1]
    const sum = this.value + term
    if ((sum < low || sum > high) && this.first < 0) this.first = step
    if (this.saturate) this.value = Math.max(low, Math.min(high, sum))
    else this.value = ((((sum - low) % 2 ** this.bits) + 2 ** this.bits) % 2 ** this.bits) + low
  }

  /** Terms of one sign, then of the other: one at a time, which sums of a sign must come to as well. */
  addWorst(terms: number[], step: number): void {
    const [up, down] = [terms.filter((term) => term > 0), terms.filter((term) => term < 0)]
    const sum = (all: number[]): number => all.reduce((total, term) => total + term, 0)
    const [low, high] = [-(2 ** (this.bits - 1)), 2 ** (this.bits - 1) - 1]
    if (this.first < 0 && (this.value + sum(up) > high || this.value + sum(down) < low)) this.first = step
    const upFirst = this.value + sum(up) - high >= low - (this.value + sum(down))
    const noted = this.first
    for (const term of upFirst ? [...up, ...down] : [...down, ...up]) this.add(term, step)
    // The second sign may leave the register only where the first brought it back from beyond.
    this.first = noted
  }
}

function neuron(products: number[], bias: number, { order, worst = false, bits, saturate, tile = 0, tileBits = 0 }: Options): Register {
  const listed = order === undefined ? products : Array.from(order, (k) => products[k])
  const outer = new Register(bits, saturate)
  outer.add(bias, 0)
  if (tile === 0) {
    if (worst) outer.addWorst(listed, listed.length)
    else for (const [k, product] of listed.entries()) outer.add(product, k + 1)
    return outer
  }
  const sums: number[] = []
  for (let begin = 0; begin < listed.length; begin += tile) {
    const inner = new Register(tileBits, saturate)
    const part = listed.slice(begin, begin + tile)
    if (worst) inner.addWorst(part, listed.length)
    else for (const [k, product] of part.entries()) inner.add(product, begin + k + 1)
    if (outer.first < 0) outer.first = inner.first
    if (worst) sums.push(inner.value)
    else outer.add(inner.value, begin + part.length)
  }
  if (worst) outer.addWorst(sums, listed.length)
  return outer
}

const geometries: Conv2d[] = [
  // n, in, h, w, out, h', w', kh, kw, sh, sw, top, left, dh, dw, groups
  [1, 5, 1, 1, 3, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1],
  [37, 20, 1, 1, 4, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1],
  [2, 3, 6, 5, 4, 4, 3, 3, 3, 1, 1, 0, 0, 1, 1, 1],
  [2, 4, 7, 7, 6, 4, 4, 3, 3, 2, 2, 1, 1, 1, 1, 2],
  [1, 2, 9, 8, 2, 5, 4, 3, 2, 1, 2, 0, 1, 2, 1, 1],
  [3, 4, 4, 4, 4, 4, 4, 3, 3, 1, 1, 1, 1, 1, 1, 4],
]

const settings = (fanIn: number): Options[] =>
  [false, true].flatMap((saturate) =>
    [4, 7, 9, 12, 31, 32].flatMap((bits) => [
      { bits, saturate },
      { bits, saturate, order: shuffled(fanIn) },
      { bits, saturate, worst: true },
      ...[1, 4, 7, 1000].flatMap((tile) => [
        { bits, saturate, tile, tileBits: 6 },
        { bits, saturate, tile, tileBits: 32, order: shuffled(fanIn) },
        { bits, saturate, tile, tileBits: 5, worst: true },
      ]),
    ]),
  )

test('sums, and where the first one left its register, are those of a register that takes one product at a time', (t) => {
  for (const shape of geometries) {
    const [n, inChannels, height, width, out, outHeight, outWidth, kernelHeight, kernelWidth, sh, sw, top, left, dh, dw, groups] = shape
    const seen = inChannels / groups
    const taps = kernelHeight * kernelWidth
    const x = codes(n * inChannels * height * width, -4, 7)
    const weight = codes(out * seen * taps, -7, 7).map((w) => (random() < 0.3 ? 0 : w))
    const bias = codes(out, -20, 20)
    for (const options of settings(seen * taps)) {
      const y = new Int32Array(n * out * outHeight * outWidth)
      const first = new Int32Array(y.length)
      const { order = null, worst, bits, saturate, tile = 0, tileBits = 0 } = options
      const call = (watch: Int32Array | null, to: Int32Array): void =>
        native.narrowConv2d(
          ...([x, weight, bias, order, worst ? Summing.worst : Summing.listed, bits] as const),
          ...([saturate ? Overflow.saturate : Overflow.wrap, tile, tileBits, to, watch, ...shape] as const),
        )
      call(first, y)
      const unwatched = new Int32Array(y.length)
      call(null, unwatched)
      let wrong = 0
      for (let at = 0; at < y.length; at++) {
        const [b, o, i, j] = [
          Math.floor(at / (out * outHeight * outWidth)),
          Math.floor(at / (outHeight * outWidth)) % out,
          Math.floor(at / outWidth) % outHeight,
          at % outWidth,
        ]
        const products = Array.from({ length: seen * taps }, (_, k) => {
          const channel = Math.floor(o / (out / groups)) * seen + Math.floor(k / taps)
          const [row, column] = [i * sh + Math.floor((k % taps) / kernelWidth) * dh - top, j * sw + (k % kernelWidth) * dw - left]
          const inside = row >= 0 && row < height && column >= 0 && column < width
          return weight[o * seen * taps + k] * (inside ? x[((b * inChannels + channel) * height + row) * width + column] : 0)
        })
        const expected = neuron(products, bias[o], options)
        if (y[at] !== expected.value || first[at] !== expected.first || unwatched[at] !== y[at]) wrong++
      }
      t.is(wrong, 0, JSON.stringify({ shape, ...options }))
    }
  }
})

test('a register of 32 bits wraps where a computer would, and holds products of the largest codes', (t) => {
  const y = new Int32Array(1)
  const large = new Int32Array(3).fill(1 << 15)
  for (const bits of [31, 32])
    for (const overflow of [Overflow.wrap, Overflow.saturate]) {
      native.narrowConv2d(large, large, null, null, Summing.listed, bits, overflow, 0, 0, y, null, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1)
      const expected = neuron(Array(3).fill(2 ** 30), 0, { bits, saturate: overflow === Overflow.saturate }).value
      t.is(y[0], expected)
    }
})

test('what cannot be is an error', (t) => {
  const x = Int32Array.of(1, 2, 3)
  const call = (changes: { x?: Int32Array; order?: Int32Array; bits?: number; tile?: number; tileBits?: number; worst?: boolean }) => () =>
    native.narrowConv2d(
      ...([changes.x ?? x, x, null, changes.order ?? null, changes.worst ? Summing.worst : Summing.listed, changes.bits ?? 8] as const),
      ...([Overflow.wrap, changes.tile ?? 0, changes.tileBits ?? 8, new Int32Array(1), null, 1, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1] as const),
    )
  t.notThrows(call({}))
  for (const bad of [
    call({ bits: 1 }),
    call({ bits: 33 }),
    call({ tile: -1 }),
    call({ tile: 2, tileBits: 1 }),
    call({ x: Int32Array.of(1, 2) }),
    call({ x: Int32Array.of(1, 2, 40_000) }),
    call({ order: Int32Array.of(0, 1) }),
    call({ order: Int32Array.of(0, 1, 1) }),
    call({ order: Int32Array.of(0, 1, 3) }),
    call({ order: Int32Array.of(2, 1, 0), worst: true }),
  ])
    t.throws(bad, { instanceOf: EspalierError })
})
