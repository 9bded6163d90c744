import test from 'ava'
import { EspalierError, Generator, nn, tensor, zeros } from '../../lib/index.js'

// The distributions themselves are checked by the goldens (init.json).

test('fans of linear and convolution weights', (t) => {
  t.deepEqual(nn.init.fans([5, 3]), { fanIn: 3, fanOut: 5 })
  t.deepEqual(nn.init.fans([8, 4, 3, 2]), { fanIn: 24, fanOut: 48 })
  t.throws(() => nn.init.fans([5]), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
})

test('filling in place gives the tensor back', (t) => {
  const x = zeros([4])
  t.is(nn.init.constant(x, 3), x)
  t.deepEqual(x.toArray(), [3, 3, 3, 3])
  t.is(nn.init.uniform(x, 2, 3), x)
  t.true(x.data.every((value) => value >= 2 && value < 3))
  t.is(nn.init.normal(x, 100, 0.1), x)
  t.true(x.data.every((value) => Math.abs(value - 100) < 1))
})

test('a generator fixes the values', (t) => {
  const draw = (): unknown => nn.init.kaimingNormal(zeros([3, 3]), { generator: new Generator(2) }).toArray()
  t.deepEqual(draw(), draw())
})

test('weights without elements stay so; bad arguments are errors', (t) => {
  t.is(nn.init.kaimingUniform(tensor(new Float32Array(0), [0, 4])).size, 0)
  t.is(nn.init.xavierNormal(tensor(new Float32Array(0), [4, 0])).size, 0)
  t.throws(() => nn.init.kaimingUniform(zeros([3])), { instanceOf: EspalierError })
  t.throws(() => nn.init.kaimingUniform(zeros([3, 3]), { mode: 'fan_in' as never }), { instanceOf: EspalierError, message: /mode is "fan_in"/ })
  t.throws(() => nn.init.calculateGain('cubic' as never), { instanceOf: EspalierError, message: /"cubic"/ })
})
