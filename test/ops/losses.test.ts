import test from 'ava'
import { EspalierError, ops, tensor, zeros } from '../../lib/index.js'

const scores = () =>
  tensor(
    [
      [1, 2, 3],
      [0, -1, 4],
    ],
    { requiresGrad: true },
  )
const labels = (...numbers: number[]) => tensor(new Int32Array(numbers))
const refused = (code: string) => ({ instanceOf: EspalierError, code })

test('cross entropy is the logarithm of softmax, and its negative log-likelihood', (t) => {
  const whole = ops.crossEntropy(scores(), labels(2, 0)).item()
  const parts = ops.nllLoss(ops.logSoftmax(scores(), 1), labels(2, 0)).item()
  t.true(Math.abs(whole - parts) < 1e-6)
})

test('a one-hot probability is a class number', (t) => {
  const hot = tensor([
    [0, 0, 1],
    [1, 0, 0],
  ])
  for (const options of [{}, { labelSmoothing: 0.2 }, { reduction: 'sum' as const }]) {
    const [a, b] = [scores(), scores()]
    const [soft, hard] = [ops.crossEntropy(a, hot, options), ops.crossEntropy(b, labels(2, 0), options)]
    t.true(Math.abs(soft.item() - hard.item()) < 1e-6)
    soft.backward()
    hard.backward()
    for (let i = 0; i < 6; i++) t.true(Math.abs((a.grad?.data[i] ?? NaN) - (b.grad?.data[i] ?? NaN)) < 1e-6)
  }
})

test('logits of ±1000 and −∞ give finite losses and gradients', (t) => {
  const x = tensor([[1000, -1000, Number.NEGATIVE_INFINITY]], { requiresGrad: true })
  const loss = ops.crossEntropy(x, labels(0))
  t.is(loss.item(), 0)
  loss.backward()
  t.deepEqual(Array.from(x.grad?.data ?? []), [0, 0, 0])
  t.is(ops.crossEntropy(x, labels(1)).item(), 2000)
  t.deepEqual(Array.from(ops.softmax(x, 1).data), [1, 0, 0])
})

test('a NaN makes the losses of its row NaN, and no other', (t) => {
  const x = tensor([
    [1, NaN, 3],
    [0, -1, 4],
  ])
  const loss = ops.crossEntropy(x, labels(0, 2), { reduction: 'none' })
  t.true(Number.isNaN(loss.data[0]))
  t.false(Number.isNaN(loss.data[1]))
})

test('all rows ignored: the mean is NaN, the sum 0, and the gradient of the sum 0', (t) => {
  t.true(Number.isNaN(ops.crossEntropy(scores(), labels(-100, -100)).item()))
  t.true(Number.isNaN(ops.nllLoss(scores(), labels(1, 1), { ignoreIndex: 1 }).item()))
  const x = scores()
  const sum = ops.crossEntropy(x, labels(-100, -100), { reduction: 'sum' })
  t.is(sum.item(), 0)
  sum.backward()
  t.deepEqual(Array.from(x.grad?.data ?? []), [0, 0, 0, 0, 0, 0])
})

test('no rows: the mean is NaN, the sum 0', (t) => {
  t.true(Number.isNaN(ops.crossEntropy(zeros([0, 3]), labels()).item()))
  t.is(ops.crossEntropy(zeros([0, 3]), labels(), { reduction: 'sum' }).item(), 0)
  t.true(Number.isNaN(ops.mseLoss(zeros([0]), zeros([0])).item()))
  t.is(ops.bceWithLogits(zeros([0]), zeros([0]), { reduction: 'sum' }).item(), 0)
})

test('a class number out of range is refused', (t) => {
  for (const label of [3, -1, 2 ** 31 - 1, -(2 ** 31)]) {
    t.throws(() => ops.crossEntropy(scores(), labels(0, label)), { ...refused('INVALID_ARGUMENT'), message: /target\[1\] is / })
    t.throws(() => ops.nllLoss(scores(), labels(label, 0)), { ...refused('INVALID_ARGUMENT'), message: /target\[0\] is / })
  }
})

test('operands that do not fit are refused', (t) => {
  t.throws(() => ops.crossEntropy(zeros([3]), labels(0)), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), labels(0)), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), zeros([2])), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), labels(0, 1), { weight: zeros([2]) }), refused('SHAPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), labels(0, 1), { weight: zeros([3], { dtype: 'float64' }) }), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), zeros([2, 3], { dtype: 'float64' })), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.crossEntropy(scores(), labels(0, 1), { labelSmoothing: 1.5 }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.crossEntropy(scores(), labels(0, 1), { reduction: 'max' as 'sum' }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.nllLoss(scores(), zeros([2, 3])), refused('DTYPE_MISMATCH'))
  t.throws(() => ops.crossEntropy([1, 2] as never, labels(0)), refused('INVALID_ARGUMENT'))
  for (const loss of [ops.mseLoss, ops.l1Loss, ops.smoothL1Loss, ops.huberLoss, ops.bceWithLogits]) {
    t.throws(() => loss(zeros([2]), zeros([3])), refused('SHAPE_MISMATCH'))
    t.throws(() => loss(zeros([2]), zeros([2], { dtype: 'float64' })), refused('DTYPE_MISMATCH'))
    t.throws(() => loss(labels(1), labels(1)), refused('DTYPE_MISMATCH'))
  }
  t.throws(() => ops.smoothL1Loss(zeros([2]), zeros([2]), { beta: -1 }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.huberLoss(zeros([2]), zeros([2]), { delta: 0 }), refused('INVALID_ARGUMENT'))
  t.throws(() => ops.bceWithLogits(zeros([2, 3]), zeros([2, 3]), { posWeight: zeros([2]) }), refused('SHAPE_MISMATCH'))
})

test('smooth L1 with β = 0 is L1', (t) => {
  const [x, y] = [tensor([1, -2, 3]), tensor([0.5, 1, 3])]
  t.is(ops.smoothL1Loss(x, y, { beta: 0 }).item(), ops.l1Loss(x, y).item())
})

test('binary cross entropy stays exact where the logistic function is 0 or 1', (t) => {
  const x = tensor([-40, 40, -1000, 1000])
  const losses = ops.bceWithLogits(x, tensor([0, 1, 1, 0]), { reduction: 'none' }).data
  t.true(Math.abs(losses[0] / Math.exp(-40) - 1) < 1e-5)
  t.true(Math.abs(losses[1] / Math.exp(-40) - 1) < 1e-5)
  t.deepEqual([losses[2], losses[3]], [1000, 1000])
})
