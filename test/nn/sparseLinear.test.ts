import test from 'ava'
import { EspalierError, manualSeed, nn, ops, optim, prune, rand, type Tensor, tensor } from '../../lib/index.js'

/** A masked layer and the sparse one made of it. */
function pair(inFeatures: number, outFeatures: number, amount: number): { masked: nn.Linear; sparse: nn.SparseLinear } {
  const masked = new nn.Linear(inFeatures, outFeatures)
  prune.l1Unstructured(masked, 'weight', amount)
  return { masked, sparse: nn.SparseLinear.from(masked) }
}

function close(a: Tensor, b: Tensor, tolerance: number): boolean {
  const [left, right] = [a.data, b.data]
  return left.length === right.length && left.every((value, i) => Math.abs(value - right[i]) <= tolerance)
}

test('it computes what the masked layer computes, gradients too', (t) => {
  manualSeed(1)
  const { masked, sparse } = pair(33, 29, 0.7)
  t.is(sparse.weight.size, 33 * 29 - Math.round(0.7 * 33 * 29))
  const [x, same] = [rand([2, 5, 33]), rand([2, 5, 33])].map((made) => tensor(made.data, [2, 5, 33], { requiresGrad: true }))
  same.data.set(x.data as never)
  const [y, z] = [masked.forward(x), sparse.forward(same)]
  t.deepEqual(z.shape, [2, 5, 29])
  t.true(close(y, z, 1e-5))
  ops.sum(ops.square(y)).backward()
  ops.sum(ops.square(z)).backward()
  t.true(close(x.grad as Tensor, same.grad as Tensor, 1e-4))
  t.true(close(masked.bias?.grad as Tensor, sparse.bias?.grad as Tensor, 1e-4))
  const dense = masked.latentWeight('weight').grad as Tensor
  const positions = sparse.positions.data
  t.true((sparse.weight.grad as Tensor).data.every((value, i) => Math.abs(value - dense.data[positions[i]]) <= 1e-4))
})

test('training follows the masked path; the pattern changes three times on the way', (t) => {
  manualSeed(2)
  const x = rand([64, 20])
  const target = tensor(Int32Array.from({ length: 64 }, (_, i) => i % 4))
  const hidden = new nn.Linear(20, 48)
  const out = new nn.Linear(48, 4)
  prune.l1Unstructured(hidden, 'weight', 0.5)
  let layer = nn.SparseLinear.from(hidden)
  const head = out.clone()
  let worst = 0
  for (let stage = 0; stage < 4; stage++) {
    if (stage > 0) {
      prune.l1Unstructured(hidden, 'weight', 0.3)
      layer = nn.SparseLinear.from(hidden)
    }
    const [dense, sparse] = [
      [hidden, out],
      [layer, head],
    ].map(([first, second]) => ({
      model: new nn.Sequential(first, new nn.ReLU(), second),
      optimizer: new optim.SGD([...first.parameters(), ...second.parameters()], { lr: 0.1 }),
    }))
    for (let step = 0; step < 50; step++) {
      const losses = [dense, sparse].map(({ model, optimizer }) => {
        const loss = ops.crossEntropy(model.forward(x), target)
        optimizer.zeroGrad()
        loss.backward()
        optimizer.step()
        return loss.item()
      })
      worst = Math.max(worst, Math.abs(losses[0] - losses[1]) / losses[0])
    }
  }
  t.true(worst < 1e-4, `losses differ by ${worst}`)
})

test('it is of the dtype of the layer it is made from, and so is the dense one again', (t) => {
  manualSeed(5)
  const { masked } = pair(9, 7, 0.5)
  masked.to('float64')
  const layer = nn.SparseLinear.from(masked)
  const x = rand([4, 9], { dtype: 'float64' })
  for (const made of [layer, layer.toLinear()]) {
    t.deepEqual([made.weight.dtype, made.bias?.dtype], ['float64', 'float64'])
    t.true(close(made.forward(x), masked.forward(x), 1e-12))
  }
})

test('states and clones carry the pattern; it may be replaced', (t) => {
  manualSeed(3)
  const { sparse } = pair(10, 6, 20)
  const other = pair(10, 6, 20).sparse
  t.deepEqual(Object.keys(sparse.stateDict()), ['weight', 'bias', 'positions'])
  const x = rand([3, 10])
  other.loadStateDict(sparse.stateDict())
  t.deepEqual(other.forward(x).data, sparse.forward(x).data)
  const model = new nn.Sequential(sparse)
  const copy = model.clone()
  sparse.weight.data.fill(0)
  t.deepEqual(copy.forward(x).data, other.forward(x).data)
  t.true(close(other.toLinear().forward(x), other.forward(x), 1e-6))
})

test('positions loaded out of order are refused in every forward pass, and layers may share a buffer', (t) => {
  manualSeed(4)
  const x = rand([3, 4])
  const layer = new nn.SparseLinear(4, 2, Int32Array.of(1, 6), Float32Array.of(2, 3))
  const state = layer.stateDict()
  layer.loadStateDict({ ...state, positions: tensor(Int32Array.of(6, 1)) })
  for (let pass = 0; pass < 3; pass++) t.throws(() => layer.forward(x), { instanceOf: EspalierError, message: /position 1 is 1/ })
  layer.loadStateDict(state)
  const other = new nn.SparseLinear(4, 2, Int32Array.of(1, 6), Float32Array.of(2, 3))
  other.positions = layer.positions
  t.deepEqual(other.forward(x).data, layer.forward(x).data)
  const moved = new nn.SparseLinear(4, 2, Int32Array.of(0, 7), Float32Array.of(2, 3))
  layer.loadStateDict({ ...state, positions: moved.stateDict().positions })
  for (let pass = 0; pass < 2; pass++) for (const one of [layer, other]) t.deepEqual(one.forward(x).data, moved.forward(x).data)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) =>
    t.is((t.throws(call, { instanceOf: EspalierError }) as EspalierError | undefined)?.code as string, code)
  refused('INVALID_ARGUMENT', () => new nn.SparseLinear(2, 2, Int32Array.of(1, 1), new Float32Array(2)))
  refused('INVALID_ARGUMENT', () => new nn.SparseLinear(2, 2, Int32Array.of(4), new Float32Array(1)))
  refused('SHAPE_MISMATCH', () => new nn.SparseLinear(2, 2, Int32Array.of(1), new Float32Array(2)))
  const layer = new nn.SparseLinear(2, 2, Int32Array.of(1), new Float32Array(1))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([1, 3])))
  refused('DTYPE_MISMATCH', () => layer.forward(rand([1, 2], { dtype: 'float64' })))
})
