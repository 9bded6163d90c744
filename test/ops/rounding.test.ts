import test from 'ava'
import fc from 'fast-check'
import { ops, type Tensor, tensor } from '../../lib/index.js'

const gradient = (op: (x: Tensor) => Tensor, values: number[]): number[] => {
  const x = tensor(values, { dtype: 'float64', requiresGrad: true })
  op(x).sum().backward()
  return x.grad?.toArray() as number[]
}

const float = fc.float({ noNaN: true, noDefaultInfinity: true })

test('roundToZero is Math.trunc, and the gradient passes straight through', (t) => {
  fc.assert(
    fc.property(fc.array(float), (values) => {
      t.deepEqual(
        Array.from(ops.roundToZero(tensor(values, [values.length])).data, (value) => value + 0),
        values.map((value) => Math.trunc(value) + 0),
      )
    }),
  )
  t.deepEqual(gradient(ops.roundToZero, [-1.5, 0.3, 7]), [1, 1, 1])
})

test('floor is Math.floor, and the gradient passes straight through', (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(float, fc.integer({ min: -50, max: 50 }))), (values) => {
      t.deepEqual(
        Array.from(ops.floor(tensor(values, [values.length])).data, (value) => value + 0),
        values.map((value) => Math.floor(value) + 0),
      )
    }),
  )
  t.deepEqual(gradient(ops.floor, [-1.5, 0.3, 7]), [1, 1, 1])
})

test('bipolar is the sign, 1 of 0, and the gradient passes straight through', (t) => {
  t.deepEqual(ops.bipolar(tensor([-3, -1e-30, -0, 0, 1e-30, 7])).toArray(), [-1, -1, 1, 1, 1, 1])
  t.deepEqual(gradient(ops.bipolar, [-1.5, 0, 7]), [1, 1, 1])
})

test('ceilPowerOfTwo gives the least power of two not below; powers stay; the gradient is y/x', (t) => {
  const powers = Array.from({ length: 200 }, (_, i) => 2 ** (i - 100))
  t.deepEqual(Array.from(ops.ceilPowerOfTwo(tensor(powers)).data), powers)
  const above = powers.map((power) => power * (1 + 2 ** -23))
  t.deepEqual(
    Array.from(ops.ceilPowerOfTwo(tensor(above)).data),
    powers.map((power) => 2 * power),
  )
  fc.assert(
    fc.property(fc.array(fc.float({ min: Math.fround(1e-30), max: Math.fround(1e30), noNaN: true })), (values) => {
      for (const [i, y] of ops.ceilPowerOfTwo(tensor(values, [values.length])).data.entries())
        t.true(y >= values[i] && y / 2 < values[i] && Number.isInteger(Math.log2(y)))
    }),
  )
  t.deepEqual(gradient(ops.ceilPowerOfTwo, [1, 3, 5]), [1, 4 / 3, 8 / 5])
})

test('exp2 is exact for whole numbers', (t) => {
  const whole = Array.from({ length: 250 }, (_, i) => i - 125)
  t.deepEqual(
    Array.from(ops.exp2(tensor(whole)).data),
    whole.map((x) => 2 ** x),
  )
})

test('kthMagnitude along a dimension is the one of each of its slices', (t) => {
  const values = Array.from({ length: 24 }, (_, i) => Math.sin(i * 7))
  const x = tensor(values, [2, 3, 4])
  const together = ops.kthMagnitude(x, 5, { axis: 1 })
  t.deepEqual(together.shape, [1, 3, 1])
  for (const channel of [0, 1, 2]) {
    const slice = values.filter((_, i) => Math.floor(i / 4) % 3 === channel)
    t.is(together.data[channel], ops.kthMagnitude(tensor(slice), 5).data[0])
  }
})
