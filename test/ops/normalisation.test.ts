import test from 'ava'
import { EspalierError, full, noGrad, ops, type Tensor, tensor, zeros } from '../../lib/index.js'

const refused = (code: string) => ({ instanceOf: EspalierError, code })

test('a large mean does not cost batch or layer norm their precision', (t) => {
  const x = tensor(
    Float32Array.from({ length: 64 * 4 }, (_, i) => 4096 + (i % 8 < 4 ? 0.25 : -0.25)),
    [64, 4],
  )
  const y = ops.batchNorm(x, null, null, { training: true, eps: 0 })
  for (const value of y.data) t.true(Math.abs(Math.abs(value) - 1) < 1e-4)
  const rows = ops.layerNorm(x.detach(), null, null, { normalizedShape: [64, 4], eps: 0 })
  for (const value of rows.data) t.true(Math.abs(Math.abs(value) - 1) < 1e-4)
})

test('training moves the running statistics, evaluation does not', (t) => {
  const [runningMean, runningVar] = [zeros([1]), full([1], 1)]
  const x = tensor([[1], [2], [6]])
  ops.batchNorm(x, null, null, { runningMean, runningVar, training: true, momentum: 0.5 })
  t.deepEqual([runningMean.item(), runningVar.item()], [1.5, 4])
  const y = ops.batchNorm(x, null, null, { runningMean, runningVar, eps: 0 })
  t.deepEqual([runningMean.item(), runningVar.item()], [1.5, 4])
  t.deepEqual(Array.from(y.data), [-0.25, 0.25, 2.25])
})

test('a batch without elements changes nothing and has zero gradients', (t) => {
  for (const shape of [
    [0, 2],
    [0, 2, 3],
    [4, 2, 0],
  ]) {
    const [runningMean, runningVar] = [zeros([2]), full([2], 1)]
    const weight = full([2], 1, { requiresGrad: true })
    const y = ops.batchNorm(zeros(shape), weight, null, { runningMean, runningVar, training: true })
    t.deepEqual(y.shape, shape)
    y.backward(zeros(shape))
    t.deepEqual(Array.from((weight.grad as Tensor).data), [0, 0])
    t.deepEqual([...runningMean.data, ...runningVar.data], [0, 0, 1, 1])
  }
  t.deepEqual(ops.layerNorm(zeros([0, 3]), null, null, { normalizedShape: 3 }).shape, [0, 3])
})

test('operands that do not fit are refused, and nothing moved', (t) => {
  const x = zeros([2, 3])
  const running = { runningMean: zeros([3]), runningVar: full([3], 1) }
  t.throws(() => ops.batchNorm(zeros([1, 3]), null, null, { ...running, training: true }), { ...refused('SHAPE_MISMATCH'), message: /single value/ })
  t.throws(() => ops.batchNorm(x, null, null), { ...refused('INVALID_ARGUMENT'), message: /runningMean/ })
  t.throws(() => ops.batchNorm(x, null, null, { runningMean: zeros([3]), training: true }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.batchNorm(zeros([3]), null, null, { training: true }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.batchNorm(x, zeros([2]), null, { training: true }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.batchNorm(x, null, zeros([3], { dtype: 'float64' }), { training: true }), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.batchNorm(x, null, null, { training: true, eps: -1 }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.batchNorm(x, null, null, { ...running, training: true, momentum: 2 }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.batchNorm(tensor(new Int32Array(6), [2, 3]), null, null, { training: true }), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.layerNorm(x, null, null, { normalizedShape: 2 }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.layerNorm(x, null, null, { normalizedShape: [] }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.layerNorm(x, zeros([2]), null, { normalizedShape: 3 }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.layerNorm(x, null, null, undefined as never), refused('INVALID_ARGUMENT'))
  t.deepEqual([...running.runningMean.data, ...running.runningVar.data], [0, 0, 0, 1, 1, 1])
})

test('softmax: rows sum to 1, dimensions count from either end, a missing one is refused', (t) => {
  const x = tensor(
    Float32Array.from({ length: 24 }, (_, i) => Math.sin(i) * 5),
    [2, 3, 4],
  )
  t.deepEqual(ops.softmax(x, -2).toArray(), ops.softmax(x, 1).toArray())
  for (const dim of [0, 1, 2]) {
    const y = noGrad(() => ops.softmax(x, dim))
    let total = 0
    for (const value of y.data) total += value
    t.true(Math.abs(total - 24 / x.shape[dim]) < 1e-5)
  }
  t.is(ops.softmax(tensor(3), 0).item(), 1)
  t.throws(() => ops.softmax(x, 3), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.logSoftmax(x, undefined as never), refused('INVALID_ARGUMENT'))
})

test('embedding: rows by number, gradients added up, numbers out of range refused', (t) => {
  const weight = tensor(
    [
      [1, 2],
      [3, 4],
      [5, 6],
    ],
    { requiresGrad: true },
  )
  const y = ops.embedding(weight, tensor(new Int32Array([2, 0, 2, 1]), [2, 2]), { paddingIdx: 1 })
  t.deepEqual(y.toArray(), [
    [
      [5, 6],
      [1, 2],
    ],
    [
      [5, 6],
      [3, 4],
    ],
  ])
  y.backward(full([2, 2, 2], 1))
  t.deepEqual(weight.grad?.toArray(), [
    [1, 1],
    [0, 0],
    [2, 2],
  ])
  for (const index of [3, -1, 2 ** 31 - 1]) t.throws(() => ops.embedding(weight, tensor(new Int32Array([index]))), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.embedding(weight, zeros([2])), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.embedding(zeros([3]), tensor(new Int32Array([0]))), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.embedding(weight, tensor(new Int32Array([0])), { paddingIdx: 3 }), refused('INVALID_ARGUMENT'))
})
