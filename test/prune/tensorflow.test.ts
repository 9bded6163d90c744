// The schedules of TensorFlow Model Optimization.
import test from 'ava'
import { nn, prune } from '../../lib/index.js'

test('PolynomialDecay(.2, .8, 100, 110, 3, 2): .2 .4928 .725 .8', (t) => {
  const schedule = new prune.PolynomialDecay(0.2, 0.8, 100, 110, 3, 2)
  for (const [step, sparsity] of [
    [100, 0.2],
    [102, 0.4928],
    [105, 0.725],
    [110, 0.8],
    [0, 0.2],
    [999, 0.8],
  ])
    t.is(Number(schedule.call(step)[1].toFixed(6)), sparsity, String(step))
  t.deepEqual(
    Array.from({ length: 14 }, (_, i) => 98 + i).filter((step) => schedule.call(step)[0]),
    [100, 102, 104, 106, 108, 110],
  )
})

test('ConstantSparsity acts every so many steps, to an end or for ever', (t) => {
  const acting = (schedule: prune.PruningSchedule) => Array.from({ length: 30 }, (_, step) => step).filter((step) => schedule.call(step)[0])
  t.deepEqual(acting(new prune.ConstantSparsity(0.5, 10, 20, 5)), [10, 15, 20])
  t.deepEqual(acting(new prune.ConstantSparsity(0.5, 3, -1, 10)), [3, 13, 23])
  t.is(new prune.ConstantSparsity(0.5, 3).call(7)[1], 0.5)
})

test('a Pruner follows them', (t) => {
  const layer = new nn.Linear(50, 20)
  const schedule = new prune.PolynomialDecay(0.2, 0.8, 2, 12, 3, 2)
  const pruner = new prune.Pruner(layer, { amount: schedule.finalSparsity, schedule })
  const course = Array.from({ length: 14 }, () => {
    pruner.step()
    return pruner.report().total.zeros
  })
  t.deepEqual(course, [0, 200, 200, 493, 493, 670, 670, 762, 762, 795, 795, 800, 800, 800])
})

test('bad settings are refused', (t) => {
  for (const bad of [
    () => new prune.PolynomialDecay(-0.1, 0.8, 0, 10),
    () => new prune.PolynomialDecay(0.1, 1.8, 0, 10),
    () => new prune.PolynomialDecay(0.1, 0.8, 10, 10),
    () => new prune.PolynomialDecay(0.1, 0.8, 0, 10, 3, 0),
    () => new prune.PolynomialDecay(0.1, 0.8, 0, 10, -1),
    () => new prune.ConstantSparsity(2, 0),
    () => new prune.ConstantSparsity(0.5, -1),
    () => new prune.ConstantSparsity(0.5, 10, 5),
    () => new prune.ConstantSparsity(0.5, 10, 20, 0),
  ])
    t.throws(bad, { name: 'EspalierError', code: 'INVALID_ARGUMENT' }, String(bad))
})
