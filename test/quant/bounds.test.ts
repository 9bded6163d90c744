import test from 'ava'
import fc from 'fast-check'
import { accumulatorBound, bitsFor, integerRange, witness } from '../../lib/quant/index.js'

const range = fc.record({ min: fc.integer({ min: -8, max: 0 }), max: fc.integer({ min: 0, max: 15 }) })
const weight = fc.integer({ min: -7, max: 7 })
const dot = (weights: readonly number[], input: ArrayLike<number>, bias: number): number => weights.reduce((sum, w, i) => sum + w * input[i], bias)

test('every input stays inside the bound, at every partial sum and in every order', (t) => {
  fc.assert(
    fc.property(fc.array(weight, { maxLength: 12 }), range, fc.integer({ min: -50, max: 50 }), fc.infiniteStream(fc.nat()), (weights, input, bias, random) => {
      const { min, max } = accumulatorBound(weights, input, bias)
      const draw = (): number => random.next().value
      const products = weights.map((w) => w * (input.min + (draw() % (input.max - input.min + 1)))).sort(() => (draw() % 2) - 0.5)
      let sum = bias
      for (const product of products) {
        sum += product
        if (sum < min || sum > max) return false
      }
      return true
    }),
  )
  t.pass()
})

test('the witnesses reach both ends exactly, and one bit less would not hold them', (t) => {
  fc.assert(
    fc.property(fc.array(weight, { minLength: 1, maxLength: 20 }), range, fc.integer({ min: -50, max: 50 }), (weights, input, bias) => {
      const bound = accumulatorBound(weights, input, bias)
      t.is(dot(weights, witness(weights, input, 'max'), bias), bound.max)
      t.is(dot(weights, witness(weights, input, 'min'), bias), bound.min)
      const half = 2 ** (bound.bits - 1)
      t.true(bound.min >= -half && bound.max <= half - 1)
      if (bound.bits > 1) t.true(bound.min < -half / 2 || bound.max > half / 2 - 1)
    }),
  )
})

test('the bound of a tiny neuron is the extreme over all of its inputs', (t) => {
  const input = integerRange({ bits: 2, signed: true })
  for (const weights of [
    [1, -2, 3],
    [0, 0, 0],
    [-7, -7, -7],
    [5, 0, -1],
  ]) {
    const values: number[] = []
    for (let a = input.min; a <= input.max; a++)
      for (let b = input.min; b <= input.max; b++) for (let c = input.min; c <= input.max; c++) values.push(dot(weights, [a, b, c], 4))
    const { min, max } = accumulatorBound(weights, input, 4)
    t.is(min, Math.min(...values))
    t.is(max, Math.max(...values))
  }
})

test('a norm cap that is safe for signed inputs is not for unsigned ones: 14 weights of 2 bits need 8, not 7', (t) => {
  // Ω = ⌊(2⁷−1)/((2²−1)(2²−1))⌋ = 14 inputs; full-range weights of −2.
  const weights = new Array<number>(14).fill(-2)
  t.is(accumulatorBound(weights, integerRange({ bits: 2, signed: false })).bits, 8)
  t.is(accumulatorBound(weights, integerRange({ bits: 2, signed: true })).bits, 7)
})

test('bitsFor is the least two’s complement width', (t) => {
  t.deepEqual(
    [
      [0, 0],
      [-1, 0],
      [0, 1],
      [-2, 1],
      [-3, 0],
      [0, 127],
      [-128, 127],
      [-129, 0],
      [0, 128],
    ].map(([min, max]) => bitsFor(min, max)),
    [1, 1, 2, 2, 3, 8, 8, 9, 9],
  )
})
