// Tensors that hold what a mask keeps of them alone: to whoever looks they are like any other.
import test from 'ava'
import { nn, ones, ops, optim, rand, type Tensor, tensor } from '../../lib/index.js'
import { type KeptEntries, KeptTensor } from '../../lib/tensor/index.js'

const entries: KeptEntries = {
  shape: [2, 3],
  mask: tensor([
    [0, 1, 0],
    [1, 0, 1],
  ]),
  positions: Int32Array.of(1, 3, 5),
}
const made = (values = [1, 2, 3]): KeptTensor => new KeptTensor(tensor(values), entries)
const dense = [0, 1, 0, 2, 0, 3]

test('shape, size, device and dtype are known without a look', (t) => {
  const kept = made()
  t.deepEqual([kept.shape, kept.size, kept.rank, kept.dtype, kept.device], [[2, 3], 6, 2, 'float32', 'cpu'])
  t.not(kept.values, null)
})

test('every look shows all elements, and what is written to them stays', (t) => {
  for (const look of [(x: Tensor) => Array.from(x.data), (x: Tensor) => (x.toArray() as number[][]).flat(), (x: Tensor) => Array.from(ops.mul(x, 1).data)])
    t.deepEqual(look(made()), dense)
  t.is(String(made()), '[[0. 1. 0.]\n [2. 0. 3.]]')
  const kept = made()
  kept.data[0] = 9
  t.is(kept.values, null)
  t.deepEqual(Array.from(kept.copy().data), [9, 1, 0, 2, 0, 3])
  const copy = made().copy()
  copy.data[1] = 5
  t.deepEqual(Array.from(copy.data), [0, 5, 0, 2, 0, 3])
})

test('gradients of one mask add up as they are, those of others in full', (t) => {
  const layer = new nn.Linear(32, 16)
  nn.setMask(
    layer,
    'weight',
    tensor(
      Float32Array.from({ length: 512 }, (_, i) => Number(i % 5 === 0)),
      [16, 32],
    ),
  )
  layer.maskedKernels('sparse')
  const latent = layer.latentWeight('weight')
  const x = rand([4, 32])
  const pass = (): void => ops.sum(layer.forward(x)).backward()
  pass()
  const once = latent.peekGrad() as KeptTensor
  t.true(once instanceof KeptTensor && once.values !== null)
  pass()
  const twice = latent.peekGrad() as KeptTensor
  t.true(twice instanceof KeptTensor && twice.values !== null)
  const expected = Array.from({ length: 512 }, (_, i) => (i % 5 === 0 ? 2 * [0, 1, 2, 3].reduce((sum, s) => sum + x.data[s * 32 + (i % 32)], 0) : 0))
  t.true(Array.from(twice.data).every((value, i) => Math.abs(value - expected[i]) < 1e-4))
  // Through the weight as a whole as well.
  ops.sum(ops.mul(latent, ones([16, 32]))).backward()
  t.true(Array.from((latent.grad as Tensor).data).every((value, i) => Math.abs(value - expected[i] - 1) < 1e-4))
})

test('a gradient that was clipped still holds what is kept alone', (t) => {
  for (const clip of [(p: Tensor) => optim.clipGradNorm(p, 1), (p: Tensor) => optim.clipGradValue(p, 2)]) {
    const parameter = tensor(
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
      { requiresGrad: true },
    )
    parameter.grad = made([3, 0, -4])
    clip(parameter)
    const clipped = parameter.grad as KeptTensor
    t.not(clipped.values, null)
    const plain = tensor(
      [
        [0, 0, 0],
        [0, 0, 0],
      ],
      { requiresGrad: true },
    )
    plain.grad = tensor([
      [0, 3, 0],
      [0, 0, -4],
    ])
    clip(plain)
    t.deepEqual(Array.from(clipped.data), Array.from(plain.grad.data))
  }
})
