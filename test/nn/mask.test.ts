import test from 'ava'
import { EspalierError, nn, ones, ops, optim, type Tensor, tensor } from '../../lib/index.js'

const layer = (): nn.Linear => {
  const made = new nn.Linear(3, 2)
  made.loadStateDict({
    weight: tensor([
      [1, -2, 3],
      [4, 5, -6],
    ]),
    bias: tensor([0.5, -0.5]),
  })
  return made
}
const mask = tensor([
  [1, 0, 1],
  [0, 1, 1],
])
const keys = (module: nn.Module): string[] => Object.keys(module.stateDict())

test('a mask takes PyTorch’s names, and the parameter keeps its identity', (t) => {
  const fc = layer()
  const { weight } = fc
  nn.setMask(fc, 'weight', mask)
  t.deepEqual(keys(fc), ['bias', 'weight_orig', 'weight_mask'])
  t.is(fc.latentWeight('weight'), weight)
  t.is(fc.latentName('weight'), 'weight_orig')
  t.deepEqual(fc.weight.toArray(), [
    [1, -0, 3],
    [0, 5, -6],
  ])
  t.deepEqual(nn.maskOf(fc, 'weight')?.toArray(), mask.toArray())
  t.is(nn.maskOf(fc, 'bias'), null)
  t.is(fc.parameters().length, 2)
})

test('the forward pass uses the masked weight, never a stale one', (t) => {
  const fc = layer()
  nn.setMask(fc, 'weight', mask)
  const x = ones([1, 3])
  t.deepEqual(fc.forward(x).toArray(), [[4.5, -1.5]])
  fc.latentWeight('weight').data[0] = 10
  t.deepEqual(fc.forward(x).toArray(), [[13.5, -1.5]])
  t.is((fc.weight.toArray() as number[][])[0][0], 10)
})

test('masked weights receive no gradient; weight decay still moves them', (t) => {
  const fc = layer()
  const optimizer = new optim.SGD(fc.parameters(), { lr: 0.1, weightDecay: 1 })
  nn.setMask(fc, 'weight', mask)
  fc.forward(ones([1, 3]))
    .sum()
    .backward()
  const latent = fc.latentWeight('weight')
  t.deepEqual(latent.grad?.toArray(), mask.toArray())
  optimizer.step()
  t.is(latent.data[1], Math.fround(-2 * 0.9))
  t.is(Math.abs(fc.weight.data[1]), 0)
})

test('a mask is copied, and a second one takes its place', (t) => {
  const fc = layer()
  const own = mask.copy()
  nn.setMask(fc, 'weight', own)
  own.data.fill(0)
  t.deepEqual(nn.maskOf(fc, 'weight')?.toArray(), mask.toArray())
  nn.setMask(fc, 'weight', ones([2, 3]))
  t.deepEqual(fc.weight.toArray(), fc.latentWeight('weight').toArray())
  t.deepEqual(keys(fc), ['bias', 'weight_orig', 'weight_mask'])
  t.is(fc.weightTransforms('weight').length, 1)
})

test('removing writes the zeros; the name returns at the end', (t) => {
  const fc = layer()
  const { weight } = fc
  nn.setMask(fc, 'weight', mask)
  nn.removeMask(fc, 'weight')
  t.is(fc.weight, weight)
  t.deepEqual(weight.toArray(), [
    [1, -0, 3],
    [0, 5, -6],
  ])
  t.deepEqual(keys(fc), ['bias', 'weight'])
  t.is(fc.effective('weight'), weight)
  t.throws(() => nn.removeMask(fc, 'weight'), { instanceOf: EspalierError, code: 'STATE' })
})

test('removing with the latent weights kept', (t) => {
  const fc = layer()
  const before = fc.weight.toArray()
  nn.setMask(fc, 'weight', mask)
  nn.removeMask(fc, 'weight', { keep: 'latent' })
  t.deepEqual(fc.weight.toArray(), before)
})

test('a masked bias counts', (t) => {
  const fc = layer()
  nn.setMask(fc, 'bias', tensor([0, 1]))
  t.deepEqual(fc.forward(ones([1, 3])).toArray(), [[2, 2.5]])
  t.deepEqual(keys(fc), ['weight', 'bias_orig', 'bias_mask'])
})

test('a mask stands before a quantiser, in whatever order they come; the name shows the masked weight', (t) => {
  const fc = layer()
  fc.addTransform('weight', { kind: 'quantiser', stage: nn.stages.quantiser, apply: (weight: Tensor) => ops.add(weight, 1) })
  nn.setMask(fc, 'weight', mask)
  t.deepEqual(fc.effective('weight').toArray(), [
    [2, 1, 4],
    [1, 6, -5],
  ])
  t.deepEqual(fc.weight.toArray(), [
    [1, -0, 3],
    [0, 5, -6],
  ])
  nn.removeMask(fc, 'weight')
  t.is(fc.weightTransforms('weight').length, 1)
})

test('another gradient rule: straight through', (t) => {
  const fc = layer()
  // weight + stop(weight·mask − weight): the value is masked, the gradient is not.
  const through: nn.MaskGradient = (weight, mask) => ops.add(weight, ops.sub(ops.mul(weight, mask), weight).detach())
  nn.setMask(fc, 'weight', mask, { gradient: through })
  fc.forward(ones([1, 3]))
    .sum()
    .backward()
  t.deepEqual(fc.latentWeight('weight').grad?.toArray(), ones([2, 3]).toArray())
  nn.setMask(fc, 'weight', mask, { gradient: nn.maskedGradient })
  fc.zeroGrad()
  fc.forward(ones([1, 3]))
    .sum()
    .backward()
  t.deepEqual(fc.latentWeight('weight').grad?.toArray(), mask.toArray())
})

test('a clone in the middle of pruning is its own', (t) => {
  const fc = layer()
  nn.setMask(fc, 'weight', mask)
  fc.forward(ones([1, 3])) // deepcopy fails here in PyTorch: the weight is no leaf
  const copy = fc.clone()
  t.deepEqual(keys(copy), keys(fc))
  copy.latentWeight('weight').data.fill(1)
  t.deepEqual(copy.weight.toArray(), mask.toArray())
  t.is((fc.weight.toArray() as number[][])[0][0], 1)
  t.is((fc.weight.toArray() as number[][])[1][1], 5)
  nn.removeMask(copy, 'weight')
  t.deepEqual(keys(fc), ['bias', 'weight_orig', 'weight_mask'])
})

test('state with masks loads into a masked layer; to converts masks', (t) => {
  const [fc, other] = [layer(), new nn.Linear(3, 2)]
  nn.setMask(fc, 'weight', mask)
  nn.setMask(other, 'weight', ones([2, 3]))
  other.loadStateDict(fc.stateDict())
  t.deepEqual(other.weight.toArray(), fc.weight.toArray())
  fc.to('float64')
  t.is(fc.weight.dtype, 'float64')
})

test('a wrong mask changes nothing', (t) => {
  const fc = layer()
  t.throws(() => nn.setMask(fc, 'weight', ones([3, 2])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH', message: /\[3, 2\].*\[2, 3\]/ })
  t.throws(() => nn.setMask(fc, 'nothing', ones([3, 2])), { code: 'INVALID_ARGUMENT' })
  t.throws(() => nn.setMask(fc, 'weight', [1] as never), { code: 'INVALID_ARGUMENT' })
  t.deepEqual(keys(fc), ['weight', 'bias'])
})

test('fan-in masks keep the largest of every neuron; ties keep the lower index', (t) => {
  const weight = tensor([
    [1, -3, 2, 0],
    [2, 2, -2, 2],
  ])
  t.deepEqual(nn.fanInMask(weight, 2).toArray(), [
    [0, 1, 1, 0],
    [1, 1, 0, 0],
  ])
  t.deepEqual(nn.fanInMask(weight, 9).toArray(), ones([2, 4]).toArray())
  t.deepEqual(nn.fanInMask(weight, 0).toArray(), [
    [0, 0, 0, 0],
    [0, 0, 0, 0],
  ])
  const conv = new nn.Conv2d(3, 4, 3)
  const active = nn.fanInMask(conv.weight, 12)
  t.deepEqual(active.shape, [4, 3, 3, 3])
  for (let row = 0; row < 4; row++)
    t.is(
      Array.from(active.data.subarray(row * 27, row * 27 + 27)).reduce((sum, entry) => sum + entry, 0),
      12,
    )
  t.is(nn.fanInMask(new nn.Linear(5, 3).to('float64').weight, 2).dtype, 'float64')
  t.is(nn.fanInMask(tensor(new Float32Array(0), [0, 4]), 2).size, 0)
  t.is(nn.fanInMask(tensor(new Float32Array(0), [4, 0]), 2).size, 0)
  for (const active of [-1, 1.5, Number.NaN, '3']) t.throws(() => nn.fanInMask(weight, active as number), { instanceOf: EspalierError })
})

test('several masks are set together, or none', (t) => {
  const [fc, other] = [layer(), layer()]
  t.throws(
    () =>
      nn.setMasks([
        { module: fc, name: 'weight', mask },
        { module: fc, name: 'bias', mask: ones([2]) },
        { module: other, name: 'weight', mask: ones([3, 2]) },
      ]),
    { code: 'SHAPE_MISMATCH' },
  )
  t.deepEqual(keys(fc), ['weight', 'bias'])
  nn.setMasks([
    { module: fc, name: 'weight', mask },
    { module: fc, name: 'bias', mask: ones([2]) },
  ])
  t.deepEqual(keys(fc), ['weight_orig', 'bias_orig', 'weight_mask', 'bias_mask'])
})
