import test from 'ava'
import { native } from '../../lib/native/index.js'
import { distance, fits, nearestWithin, negativePart, positivePart, type Register, shrinkageOf } from '../support/budgets.js'
import { randomSource } from '../support/gradcheck.js'

type Storage = Float32ArrayConstructor
const storages = [Float32Array, Float64Array] as unknown as Storage[]
const shapes: readonly (readonly [rows: number, fanIn: number])[] = [
  [0, 4],
  [3, 0],
  [1, 1],
  [5, 7],
  [3, 16],
  [4, 17],
  [2, 33],
  [8, 72],
  [2, 5000],
]
const inputs = [
  { min: 0, max: 1 },
  { min: 0, max: 5 },
  { min: -3, max: 3 },
  { min: -4, max: 3 },
  { min: -2, max: 0 },
]

interface Case {
  shape: readonly [number, number]
  register: Register
  largest: number
  scale: number
  v: Float32Array
}

/** Weights of several sizes, some of them on halves of a code, where rounding has to choose. */
function* cases(Storage: Storage): Generator<Case> {
  const random = randomSource(5)
  for (const shape of shapes)
    for (const input of inputs)
      for (const bits of [5, 8, 12])
        for (const levels of [2, 1e9]) {
          const size = random() * 8
          const v = Storage.from({ length: shape[0] * shape[1] }, () => Math.round((random() * 2 - 1) * size * levels) / levels)
          const bias = Math.round((random() * 1.5 - 0.75) * 2 ** (bits - 1))
          yield { shape, register: { bits, input, bias }, largest: 1 + Math.floor(random() * 6), scale: levels === 2 ? 0.5 : 0.7, v }
        }
}

const rowOf = <T extends Float32Array>(values: T, row: number, fanIn: number): T => values.subarray(row * fanIn, (row + 1) * fanIn) as T

for (const Storage of storages) {
  const near = Storage === Float32Array ? 1e-4 : 1e-9

  test(`${Storage.name}: codes fit, use what there is, and are the nearest`, (t) => {
    for (const { shape, register, largest, scale, v } of cases(Storage)) {
      const [rows, fanIn] = shape
      const { bits, input, bias } = register
      const codes = new Storage(v.length)
      const starts = new Storage(rows).fill(bias)
      native.budgetCodes(v, new Storage(rows).fill(scale), starts, rows, fanIn, largest, codes, bits, input.min, input.max)
      const message = JSON.stringify({ shape, register, largest, scale })
      for (let row = 0; row < rows; row++) {
        const own = rowOf(codes, row, fanIn)
        const u = Array.from(rowOf(v, row, fanIn), (value) => Storage.of(value / Storage.of(scale)[0])[0])
        const [p, n] = [positivePart(own), negativePart(own)]
        t.true(fits(register, p, n), message)
        let wrong = 0
        // Whether of a sign's units, those that rounding wanted and did not get, one would have had room.
        let [wantedUp, wantedDown] = [false, false]
        for (const [i, code] of own.entries()) {
          if (!Number.isInteger(code) || Math.abs(code) > largest || code * u[i] < 0 || Math.abs(code) > Math.abs(u[i]) + 0.5) wrong++
          if (Math.abs(code) < Math.min(largest, Math.ceil(Math.abs(u[i]) - 0.5))) {
            if (u[i] > 0) wantedUp = true
            else wantedDown = true
          }
        }
        t.is(wrong, 0, message)
        t.false(wantedUp && fits(register, p + 1, n), message)
        t.false(wantedDown && fits(register, p, n + 1), message)
        if (input.min < 0 && input.min !== -input.max) continue
        // The nearest of all: of each sign by itself, or where a weight counts alike at both ends of both together.
        const [above, below] = [2 ** (bits - 1) - 1 - bias, 2 ** (bits - 1) + bias].map((room) => Math.floor(room / input.max))
        const up = u.map((value) => Math.max(0, value))
        const down = u.map((value) => Math.max(0, -value))
        const [upper, lower] = [nearestWithin(up, above, largest), nearestWithin(down, below, largest)]
        const nearest =
          input.min < 0
            ? nearestWithin(u.map(Math.abs), Math.min(above, below), largest).map((code, i) => code * Math.sign(u[i]))
            : upper.map((code, i) => code - lower[i])
        const [ours, best] = [distance(u, own), distance(u, nearest)]
        t.true(ours <= best + near * Math.max(1, best), `${message}: ${ours} against ${best}`)
      }
    }
  })

  test(`${Storage.name}: projected weights lie within the budgets, moved by the least amounts; the others keep every bit`, (t) => {
    const random = randomSource(6)
    for (const { shape, register, largest, scale, v } of cases(Storage)) {
      const [rows, fanIn] = shape
      const { bits, input, bias } = register
      const mask = random() < 0.5 ? null : Storage.from({ length: v.length }, () => Number(random() < 0.7))
      const scales = new Storage(rows).fill(scale)
      const y = new Storage(v.length)
      native.budgetProject(v, scales, mask, new Storage(rows).fill(bias), rows, fanIn, largest, y, bits, input.min, input.max)
      const message = JSON.stringify({ shape, register, largest, scale, masked: mask !== null })
      const [high, low] = [input.max, -input.min]
      const step = high === 0 || low === 0 ? Math.max(high, low) : high === low ? high : 1
      const [above, below] = [2 ** (bits - 1) - 1 - bias, 2 ** (bits - 1) + bias].map((room) => Math.floor(room / step) * step)
      for (let row = 0; row < rows; row++) {
        const open = Array.from({ length: fanIn }, (_, i) => mask === null || mask[row * fanIn + i] !== 0)
        const latent = Array.from(rowOf(v, row, fanIn))
        const u = latent.map((value, i) => (open[i] ? Math.min(largest + 0.49, Math.max(-largest - 0.49, value / scales[row])) : 0))
        const magnitudes = u.map(Math.abs)
        const amounts = [
          shrinkageOf(
            magnitudes,
            u.map((value) => (value > 0 ? high : low)),
            above,
          ),
          shrinkageOf(
            magnitudes,
            u.map((value) => (value > 0 ? low : high)),
            below,
          ),
        ]
        const [up, down] = low === 0 ? amounts : high === 0 ? amounts.toReversed() : [Math.max(...amounts), Math.max(...amounts)]
        let [wrong, moved] = [0, 0]
        for (const [i, value] of u.entries()) {
          const amount = value > 0 ? up : down
          const expected = Math.sign(value) * Math.max(0, Math.abs(value) - amount) * scales[row]
          const stays = !open[i] || (amount === 0 && value === latent[i] / scales[row])
          if (stays ? !Object.is(y[row * fanIn + i], latent[i]) : Math.abs(y[row * fanIn + i] - expected) > near * 10) wrong++
          if (!stays) moved++
        }
        t.is(wrong, 0, `${message}, ${moved} moved by ${up}, ${down}`)
      }
    }
  })
}

test('the bits do not depend on the threads, and what must not be is refused before anything is written', (t) => {
  const before = native.threads()
  const random = randomSource(7)
  const v = Float32Array.from({ length: 64 * 1000 }, () => random() * 8 - 4)
  const results = [1, 2, 3, 8].map((count) => {
    native.setThreads(count)
    const [codes, y] = [new Float32Array(v.length), new Float32Array(v.length)]
    native.budgetCodes(v, null, null, 64, 1000, 7, codes, 10, 0, 7)
    native.budgetProject(v, null, null, null, 64, 1000, 7, y, 10, -8, 7)
    return [codes, y]
  })
  native.setThreads(before)
  for (const result of results) t.deepEqual(result, results[0])

  const codes = new Float32Array(4).fill(9)
  const run = (values: number[], { scale = 1, bias = 0, bits = 6, min = 0, max = 3, largest = 3 } = {}): void =>
    native.budgetCodes(Float32Array.from(values), Float32Array.of(scale), Float32Array.of(bias), 1, 4, largest, codes, bits, min, max)
  t.throws(() => run([1, Number.NaN, 1, 1]), { message: /not finite/ })
  t.throws(() => run([1, 1, 1, Number.NEGATIVE_INFINITY]), { message: /not finite/ })
  t.throws(() => run([1, 1, 1, 1], { scale: 0 }), { message: /scale\[0\] is 0/ })
  t.throws(() => run([1, 1, 1, 1], { bias: 32 }), { message: /bias\[0\] is 32, expected a whole number of 6 bits/ })
  t.throws(() => run([1, 1, 1, 1], { bias: 0.5 }), { message: /bias\[0\] is 0.5/ })
  t.throws(() => run([1, 1, 1, 1], { bits: 33 }), { message: /bits is 33/ })
  t.throws(() => run([1, 1, 1, 1], { min: 1 }), { message: /input_min is 1/ })
  t.throws(() => run([1, 1, 1, 1], { max: 0 }), { message: /inputs are 0/ })
  t.throws(() => run([1, 1, 1, 1], { largest: 0 }), { message: /largest is 0/ })
  t.deepEqual(codes, new Float32Array(4).fill(9))
  // A code too small for the quotient to be finite: still nothing that does not fit.
  run([3e38, -3e38, 1, 1], { scale: 1e-30 })
  t.true(fits({ bits: 6, input: { min: 0, max: 3 }, bias: 0 }, positivePart(codes), negativePart(codes)))
})
