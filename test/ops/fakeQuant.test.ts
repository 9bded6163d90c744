import test from 'ava'
import fc from 'fast-check'
import { EspalierError, ops, type Tensor, tensor } from '../../lib/index.js'

const codes = { min: -2, max: 1 } as const

for (const dtype of ['float32', 'float64'] as const)
  test(`rounds half to even and clamps: ${dtype}`, (t) => {
    const x = tensor([-3, -1.25, -0.75, -0.25, 0, 0.25, 0.3, 0.75, 5], { dtype })
    const y = ops.fakeQuant(x, tensor(0.5, { dtype }), { ...codes, gradient: 'clamped' })
    // + 0: the code of −0.25 is −0.
    t.deepEqual(
      Array.from(y.data, (value) => value + 0),
      [-1, -1, -1, 0, 0, 0, 0.5, 0.5, 0.5],
    )
    t.is(y.dtype, dtype)
  })

/** The gradients of x and the scale for upstream gradients 1, 10, 100, … */
function gradients(x: number[], scale: number, gradient: 'clamped' | 'straight-through'): { x: number[]; scale: number } {
  const [input, s] = [tensor(x, { dtype: 'float64', requiresGrad: true }), tensor(scale, { dtype: 'float64', requiresGrad: true })]
  ops.fakeQuant(input, s, { ...codes, gradient }).backward(
    tensor(
      x.map((_, i) => 10 ** i),
      { dtype: 'float64' },
    ),
  )
  return { x: input.grad?.toArray() as number[], scale: (s.grad as Tensor).item() }
}

test('clamped: no gradient where the rounded code lies outside; the scale gets code − x/scale inside, the code outside', (t) => {
  // x/scale: −3 (outside), −2.4 (rounds to −2, inside), .6, 1.4 (inside), 1.6 (outside)
  const { x, scale } = gradients([-1.5, -1.2, 0.3, 0.7, 0.8], 0.5, 'clamped')
  t.deepEqual(x, [0, 10, 100, 1000, 0])
  t.true(Math.abs(scale - (-2 + 10 * 0.4 + 100 * 0.4 + 1000 * -0.4 + 10000)) < 1e-9)
})

test('straight-through: the gradient passes everywhere, and the scale always gets code − x/scale', (t) => {
  const { x, scale } = gradients([-1.5, -1.2, 0.3, 0.7, 0.8], 0.5, 'straight-through')
  t.deepEqual(x, [1, 10, 100, 1000, 10000])
  t.true(Math.abs(scale - (1 + 10 * 0.4 + 100 * 0.4 + 1000 * -0.4 + 10000 * -0.6)) < 1e-9)
})

for (const dtype of ['float32', 'float64'] as const)
  test(`rectified is the clamped quantiser of relu(x): ${dtype}`, (t) => {
    fc.assert(
      fc.property(fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { maxLength: 40 }), (values) => {
        const results = [false, true].map((atOnce) => {
          const x = tensor(values, [values.length], { dtype, requiresGrad: true })
          const scale = tensor(0.25, { dtype, requiresGrad: true })
          const y = ops.fakeQuant(atOnce ? x : ops.relu(x), scale, { min: 0, max: 7, gradient: atOnce ? 'rectified' : 'clamped' })
          y.mul(y.add(0.5)).sum().backward()
          return [y.toArray(), x.grad?.toArray(), scale.grad?.item()]
        })
        t.deepEqual(results[1], results[0])
      }),
    )
  })

test('a scale a channel is the tensor’s scale of each channel', (t) => {
  fc.assert(
    fc.property(fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 6, maxLength: 6 }), (values) => {
      const options = { min: -7, max: 7, gradient: 'straight-through' } as const
      const together = ops.fakeQuant(tensor(values, [2, 3]), tensor([[0.3], [0.1]]), options)
      const apart = [0.3, 0.1].map((scale, row) => ops.fakeQuant(tensor(values.slice(3 * row, 3 * row + 3)), tensor(scale), options).toArray())
      t.deepEqual(together.toArray(), apart as never)
    }),
  )
})

test('an operand that does not fit is refused', (t) => {
  const options = { ...codes, gradient: 'clamped' } as const
  t.throws(() => ops.fakeQuant(tensor([1, 2, 3]), tensor([1, 2]), options), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  t.throws(() => ops.fakeQuant(tensor([1, 2]), tensor(1, { dtype: 'float64' }), options), { instanceOf: EspalierError, code: 'DTYPE_MISMATCH' })
  for (const scale of [0, -1, Number.NaN, Infinity]) t.throws(() => ops.fakeQuant(tensor([1, 2]), tensor(scale), options), { instanceOf: EspalierError })
  t.throws(() => ops.fakeQuant(tensor([1]), tensor(1), { min: 2, max: 1, gradient: 'clamped' }), { instanceOf: EspalierError })
})
