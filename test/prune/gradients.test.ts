import test from 'ava'
import { EspalierError, Generator, nn, ops, optim, prune, type Tensor, tensor } from '../../lib/index.js'

const layerOf = (): nn.Linear => {
  const layer = new nn.Linear(4, 1, { bias: false }).to('float64')
  layer.weight.data.set([-3, 0.5, 2, -0.25])
  return layer
}
const x = tensor([1, 2, 3, 4], [1, 4], { dtype: 'float64' })
const gradient = (layer: nn.Module): number[] => {
  layer.zeroGrad()
  ops.sum(layer.forward(x)).backward()
  return Array.from(layer.latentWeight('weight').grad!.data, (value) => value + 0) // −0 is 0
}

test('what fallen weights learn: nothing, all, or all and a pull to 0', (t) => {
  const gradients = (rule: prune.Gradient): number[] => {
    const layer = layerOf()
    new prune.Pruner(layer, { structure: prune.nm(2, 4), gradient: rule }).step()
    t.deepEqual(Array.from(layer.weight.data), [-3, 0, 2, -0])
    return gradient(layer)
  }
  t.deepEqual(gradients(prune.masked), [1, 0, 3, 0])
  t.deepEqual(gradients(prune.straightThrough), [1, 2, 3, 4])
  t.deepEqual(gradients(prune.srSte(0.1)), [1, 2 + 0.05, 3, 4 - 0.025])
  t.deepEqual(gradients(prune.srSte(0)), [1, 2, 3, 4])
})

test('SR-STE: masks follow the weights after every step', (t) => {
  const layer = layerOf()
  const optimizer = new optim.SGD(layer.parameters(), { lr: 1 })
  const pruner = new prune.Pruner(layer, { ...prune.policies.srSte({ lambda: 0 }), optimizer })
  pruner.start()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), [1, 0, 1, 0])
  gradient(layer)
  optimizer.step() // [−4, −1.5, −1, −4.25]
  pruner.step()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), [1, 0, 0, 1])
})

test('STR: sign(w)·relu(|w| − σ(s)), and its gradients, s included', (t) => {
  const layer = layerOf()
  const pruner = new prune.Pruner(layer, prune.policies.str({ initial: 0 })) // the threshold is .5
  t.deepEqual(
    Array.from(layer.effective('weight').data),
    [-2.5, 0, 1.5, 0].map((value, i) => (i === 3 ? -0 : value)),
  )
  t.deepEqual(gradient(layer), [1, 0, 3, 0])
  const [threshold] = layer.parameters().filter(({ size }) => size === 1)
  // −Σ sign(w)·g·σ′(0) over what stands: −(−1 + 3)/4
  t.deepEqual(Array.from(threshold.grad!.data), [-0.5])
  const { total, layers } = pruner.report()
  t.deepEqual([total.zeros, total.sparsity, layers[0].asked], [2, 0.5, null])

  // It is saved, copied and trained with the layer.
  t.deepEqual(Object.keys(layer.stateDict()), ['weight', 'weight_soft.threshold'])
  const clone = layer.clone()
  threshold.data[0] = -100
  t.deepEqual(Array.from(clone.effective('weight').data).map(Math.abs), [2.5, 0, 1.5, 0])
  t.deepEqual(Array.from(layer.effective('weight').data), [-3, 0.5, 2, -0.25])

  const own = new prune.Pruner(clone, prune.policies.str({ initial: -9 })) // goes on with the thresholds that are there
  t.deepEqual(own.report().total.zeros, 2)
  own.remove()
  t.deepEqual(Object.keys(clone.stateDict()), ['weight'])

  threshold.data[0] = 0
  pruner.remove()
  t.deepEqual(Object.keys(layer.stateDict()), ['weight'])
  t.deepEqual(Array.from(layer.weight.data).map(Math.abs), [2.5, 0, 1.5, 0])
})

test('STR learns a sparsity under weight decay', (t) => {
  const layer = new nn.Linear(40, 10, { generator: new Generator(1) })
  const pruner = new prune.Pruner(layer, prune.policies.str({ initial: -4 }))
  const optimizer = new optim.SGD(layer.parameters(), { lr: 0.05, weightDecay: 0.1 })
  const before = pruner.report().total.sparsity
  const input = new Generator(2).normal([64, 40])
  const target = ops.sum(input, { dim: 1, keepdim: true }) as Tensor
  for (let i = 0; i < 60; i++) {
    optimizer.zeroGrad()
    ops.mean(ops.square(layer.forward(input).sub(target))).backward()
    optimizer.step()
  }
  t.true(pruner.report().total.sparsity > before)
})

test('bad settings are refused, and the layer stays as it was', (t) => {
  for (const bad of [
    () => prune.srSte(-1),
    () => prune.srSte(Number.NaN),
    () => prune.softThreshold({ initial: Number.POSITIVE_INFINITY }),
    () => new prune.Pruner(layerOf(), { amount: 1, gradient: 'straight' as unknown as prune.Gradient }),
  ])
    t.throws(bad, { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  const layer = layerOf()
  Object.assign(layer, { weight_soft: 3 })
  t.throws(() => new prune.Pruner(layer, prune.policies.str()), { code: 'STATE' })
})
