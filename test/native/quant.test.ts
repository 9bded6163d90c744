import test from 'ava'
import { native, RoundingGradient } from '../../lib/native/index.js'
import { randomSource } from '../support/gradcheck.js'

const roundEven = (x: number): number => {
  const down = Math.floor(x)
  const rest = x - down
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1
  return down % 2 === 0 ? down : down + 1
}

interface View {
  outer: number
  channels: number
  inner: number
}
const views: View[] = [
  { outer: 1, channels: 1, inner: 1 },
  { outer: 1, channels: 1, inner: 17 },
  { outer: 1, channels: 5, inner: 33 },
  { outer: 3, channels: 4, inner: 7 },
  { outer: 6, channels: 9, inner: 1 },
  { outer: 1, channels: 2, inner: 40_001 },
]
const sizes = ({ outer, channels, inner }: View) => [outer, channels, inner] as const
const channelAt = ({ channels, inner }: View, i: number) => Math.floor(i / inner) % channels

for (const Storage of [Float32Array, Float64Array] as unknown as Float32ArrayConstructor[]) {
  const as = (value: number): number => Storage.of(value)[0]
  const near = Storage === Float32Array ? 2e-4 : 1e-10

  test(`${Storage.name}: codes, outputs and gradients are those of the definition`, (t) => {
    const random = randomSource(3)
    for (const view of views)
      for (const withZero of [false, true])
        for (const withMask of [false, true]) {
          const n = view.outer * view.channels * view.inner
          const x = Storage.from({ length: n }, () => random() * 8 - 4)
          const scale = Storage.from({ length: view.channels }, () => 0.1 + random())
          const zero = withZero ? Storage.from({ length: view.channels }, () => Math.floor(random() * 5) - 2) : null
          const mask = withMask ? Storage.from({ length: n }, () => Number(random() < 0.6)) : null
          const upstream = Storage.from({ length: n }, () => random() * 2 - 1)
          const [low, high] = [-4, 3]
          const y = new Storage(n)
          const codes = new Int32Array(n)
          native.fakeQuantForward(x, scale, zero, mask, ...sizes(view), low, high, y, codes)
          for (const rule of Object.values(RoundingGradient)) {
            const gradientX = new Storage(n)
            const gradientScale = new Storage(view.channels)
            native.fakeQuantBackward(upstream, x, scale, zero, mask, ...sizes(view), low, high, rule, gradientX, gradientScale)
            const sums = new Float64Array(view.channels)
            let wrong = 0
            for (let i = 0; i < n; i++) {
              const c = channelAt(view, i)
              const factor = mask?.[i] ?? 1
              const z = zero?.[c] ?? 0
              const ratio = as(as(x[i] * factor) / scale[c])
              const nearest = roundEven(as(ratio + z))
              const code = Math.min(high, Math.max(low, nearest))
              const inside = nearest >= low && nearest <= high
              const above = rule !== RoundingGradient.clampPositive || x[i] * factor > 0
              const passes = rule === RoundingGradient.clampSte || (inside && above)
              if (codes[i] !== code || y[i] !== as((code - z) * scale[c]) || gradientX[i] !== as((passes ? upstream[i] : 0) * factor)) wrong++
              sums[c] += upstream[i] * (code - z - (passes ? ratio : 0))
            }
            t.is(wrong, 0, JSON.stringify({ view, withZero, withMask, rule }))
            for (let c = 0; c < view.channels; c++) t.true(Math.abs(gradientScale[c] - sums[c]) <= near * Math.max(1, Math.abs(sums[c]), view.inner / 100))
          }
        }
  })

  test(`${Storage.name}: the largest magnitude and where it first stands`, (t) => {
    const random = randomSource(4)
    for (const view of views) {
      const n = view.outer * view.channels * view.inner
      const x = Storage.from({ length: n }, () => Math.round(random() * 100 - 50) / 8)
      const mask = Storage.from({ length: n }, () => Number(random() < 0.5))
      for (const kept of [null, mask]) {
        const value = new Storage(view.channels)
        const index = new Int32Array(view.channels)
        native.absMax(x, kept, ...sizes(view), value, index)
        for (let c = 0; c < view.channels; c++) {
          let [most, at] = [-1, -1]
          for (let i = 0; i < n; i++) {
            const a = Math.abs(x[i] * (kept?.[i] ?? 1))
            if (channelAt(view, i) === c && a > most) [most, at] = [a, i]
          }
          t.deepEqual([value[c], index[c]], [most, at])
        }
      }
    }
  })
}

test('ties round to even; NaN stays, with the lowest code', (t) => {
  const x = Float32Array.of(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, Number.NaN, Infinity, -Infinity)
  const y = new Float32Array(9)
  const codes = new Int32Array(9)
  native.fakeQuantForward(x, Float32Array.of(1), null, null, 1, 1, 9, -3, 3, y, codes)
  t.deepEqual([...codes], [0, 2, 2, 0, -2, -2, -3, 3, -3])
  t.true(Number.isNaN(y[6]))
  const value = new Float32Array(1)
  native.absMax(x, null, 1, 1, 9, value, null)
  t.true(Number.isNaN(value[0]))
})

test('codes at the ends of int32 do not wrap', (t) => {
  const x = Float32Array.of(1e20, -1e20)
  const codes = new Int32Array(2)
  native.fakeQuantForward(x, Float32Array.of(1), null, null, 1, 1, 2, -(2 ** 31), 2 ** 31 - 1, new Float32Array(2), codes)
  t.true(codes[0] > 2 ** 31 - 200)
  t.is(codes[1], -(2 ** 31))
})

test('empty views give zeros', (t) => {
  const none = new Float32Array(0)
  const scale = Float32Array.of(1, 1)
  const of = Float32Array.of(7, 7)
  native.fakeQuantForward(none, scale, null, null, 0, 2, 3, -4, 3, none, null)
  native.fakeQuantBackward(none, none, scale, null, null, 2 ** 50, 2, 0, -4, 3, RoundingGradient.clamp, none, of)
  t.deepEqual([...of], [0, 0])
  const index = new Int32Array(2)
  native.absMax(none, null, 5, 2, 0, of, index)
  t.deepEqual([...of, ...index], [0, 0, -1, -1])
})

test('what cannot be is an error', (t) => {
  const x = new Float32Array(6)
  const y = new Float32Array(6)
  const forward = (scale: Float32Array, low: number, high: number, view: readonly [number, number, number] = [1, 2, 3]) =>
    native.fakeQuantForward(x, scale, null, null, ...view, low, high, y, null)
  for (const bad of [
    () => forward(Float32Array.of(1), -4, 3),
    () => forward(Float32Array.of(1, 0), -4, 3),
    () => forward(Float32Array.of(1, Number.NaN), -4, 3),
    () => forward(Float32Array.of(1, 1), 3, -4),
    () => forward(Float32Array.of(1, 1), -4.5, 3),
    () => forward(Float32Array.of(1, 1), -4, 2 ** 40),
    () => forward(Float32Array.of(1, 1), Number.NaN, 3),
    () => forward(Float32Array.of(1, 1), -4, 3, [2, 2, 3]),
    () => forward(Float32Array.of(1, 1), -4, 3, [-1, 2, -3]),
    () => forward(Float32Array.of(1, 1), -4, 3, [2 ** 52, 2, 2 ** 52]),
    () => native.absMax(x, null, 1, 2, 3, new Float32Array(2), new Int32Array(1)),
  ])
    t.throws(bad, { name: 'EspalierError' })
})

test.serial('the bits do not depend on the threads', (t) => {
  const random = randomSource(5)
  const n = 300_003
  const x = Float32Array.from({ length: n }, () => random() * 8 - 4)
  const upstream = Float32Array.from({ length: n }, () => random() - 0.5)
  const before = native.threads()
  const results = [1, 2, 3, 8].map((count) => {
    native.setThreads(count)
    const gradientScale = new Float32Array(3)
    native.fakeQuantBackward(upstream, x, Float32Array.of(0.3, 0.4, 0.5), null, null, 1, 3, n / 3, -4, 3, RoundingGradient.clamp, null, gradientScale)
    return [...gradientScale]
  })
  native.setThreads(before)
  for (const result of results) t.deepEqual(result, results[0])
})
