import test from 'ava'
import { EspalierError, manualSeed, nn, ops, optim, prune, rand, type Tensor, tensor } from '../../lib/index.js'

function close(a: Tensor, b: Tensor, tolerance: number): boolean {
  const [left, right] = [a.data, b.data]
  return left.length === right.length && left.every((value, i) => Math.abs(value - right[i]) <= tolerance)
}

/** A masked layer and the sparse one made of it. */
function pair(options: ConstructorParameters<typeof nn.Conv2d>[3] = {}, amount = 0.7): { masked: nn.Conv2d; sparse: nn.SparseConv2d } {
  const masked = new nn.Conv2d(6, 8, [3, 2], options)
  prune.l1Unstructured(masked, 'weight', amount)
  return { masked, sparse: nn.SparseConv2d.from(masked) }
}

test('it computes what the masked layer computes, gradients too', (t) => {
  manualSeed(1)
  for (const options of [
    {},
    { padding: 1 },
    { stride: 2, padding: [1, 0] as const, groups: 2 },
    { dilation: [2, 1] as const, bias: false },
    { padding: 'same' as const },
  ]) {
    const { masked, sparse } = pair(options)
    const [x, same] = [rand([3, 6, 9, 8]), rand([3, 6, 9, 8])].map((made) => tensor(made.data, made.shape, { requiresGrad: true }))
    same.data.set(x.data as never)
    const [y, z] = [masked.forward(x), sparse.forward(same)]
    t.deepEqual(z.shape, y.shape)
    t.true(close(y, z, 1e-5))
    ops.sum(ops.square(y)).backward()
    ops.sum(ops.square(z)).backward()
    t.true(close(x.grad as Tensor, same.grad as Tensor, 1e-4))
    if (sparse.bias !== null) t.true(close(masked.bias?.grad as Tensor, sparse.bias.grad as Tensor, 1e-3))
    const dense = masked.latentWeight('weight').grad as Tensor
    const positions = sparse.positions.data
    t.true((sparse.weight.grad as Tensor).data.every((value, i) => Math.abs(value - dense.data[positions[i]]) <= 1e-3))
    t.true(close(sparse.toConv2d().forward(x), y, 1e-5))
  }
})

test('training follows the masked path for 200 steps; the mask changes three times on the way', (t) => {
  manualSeed(2)
  const x = rand([16, 3, 8, 8])
  const target = tensor(Int32Array.from({ length: 16 }, (_, i) => i % 4))
  const first = new nn.Conv2d(3, 12, 3, { padding: 1 })
  const second = new nn.Conv2d(12, 16, 3, { stride: 2, padding: 1 })
  const head = new nn.Linear(16 * 16, 4)
  for (const layer of [first, second]) prune.l1Unstructured(layer, 'weight', 0.6)
  const sparse = [first, second].map((layer) => nn.SparseConv2d.from(layer))
  const network = (a: nn.Module, b: nn.Module, c: nn.Module) => new nn.Sequential(a, new nn.ReLU(), b, new nn.ReLU(), new nn.Flatten(), c)
  const models = [network(first, second, head), network(sparse[0], sparse[1], head.clone())]
  let worst = 0
  for (let stage = 0; stage < 4; stage++) {
    if (stage > 0)
      for (const [i, layer] of [first, second].entries()) {
        // Some kept weights go, some others come in at 0: as many in the second stage, fewer and more in the others.
        const mask = nn.maskOf(layer, 'weight') as Tensor
        const latent = layer.latentWeight('weight')
        const next = mask.data.slice()
        const [kept, pruned] = [[...next.keys()].filter((j) => next[j] === 1), [...next.keys()].filter((j) => next[j] === 0)]
        for (const j of kept.filter((_, at) => at % 5 === 0)) next[j] = 0
        for (const j of pruned.slice(0, Math.ceil(kept.length / 5) + (stage - 2) * 10)) {
          next[j] = 1
          latent.data[j] = 0
        }
        for (const j of kept.filter((_, at) => at % 5 === 0)) latent.data[j] = 0
        nn.setMask(layer, 'weight', tensor(next, mask.shape))
        t.is(sparse[i].remask(tensor(next, mask.shape)), stage !== 2)
      }
    const optimizers = models.map((model) => new optim.SGD(model.parameters(), { lr: 0.05, momentum: 0.5 }))
    for (let step = 0; step < 50; step++) {
      const losses = models.map((model, i) => {
        const loss = ops.crossEntropy(model.forward(x), target)
        optimizers[i].zeroGrad()
        loss.backward()
        optimizers[i].step()
        return loss.item()
      })
      worst = Math.max(worst, Math.abs(losses[0] - losses[1]) / Math.max(losses[0], 1e-2))
    }
  }
  t.true(worst < 1e-3, `losses differ by ${worst}`)
  t.true(close(models[0].forward(x), models[1].forward(x), 1e-3))
})

test('a new mask leaves the dtype, whether weights learn, and an optimiser of as many as they are', (t) => {
  manualSeed(4)
  for (const dtype of ['float32', 'float64'] as const) {
    const { masked } = pair({ padding: 1 })
    masked.to(dtype)
    const layer = nn.SparseConv2d.from(masked)
    t.deepEqual([layer.weight.dtype, layer.bias?.dtype, layer.toConv2d().weight.dtype], [dtype, dtype, dtype])
    const x = rand([2, 6, 7, 7], { dtype })
    const near = dtype === 'float64' ? 1e-12 : 1e-5
    t.true(close(layer.forward(x), masked.forward(x), near))
    layer.weight.requiresGrad = false
    const parameter = layer.weight
    for (const more of [0, 3]) {
      const before = layer.toConv2d().weight.data
      // The kept ones one further, and some more.
      const mask = new Uint8Array(layer.denseSize)
      for (const position of layer.positions.data) mask[(position + 1) % mask.length] = 1
      for (let i = 0, left = more; left > 0; i++)
        if (mask[i] === 0) {
          mask[i] = 1
          left--
        }
      t.is(layer.remask(mask), more > 0)
      t.is(layer.weight === parameter, more === 0)
      t.deepEqual([layer.weight.dtype, layer.weight.requiresGrad], [dtype, false])
      const after = layer.toConv2d()
      t.true(after.weight.data.every((value, i) => value === before[i] * mask[i]))
      t.true(close(layer.forward(x), after.forward(x), near))
    }
    t.is(nn.SparseConv2d.from(new nn.Conv2d(2, 3, 1).to(dtype)).weight.dtype, dtype)
    layer.weight.requiresGrad = true
    ops.sum(layer.forward(x)).backward()
    t.is(layer.weight.grad?.dtype, dtype)
  }
})

test('a mask may be given; states and clones carry the pattern', (t) => {
  manualSeed(3)
  const layer = new nn.Conv2d(4, 6, 3)
  const mask = Uint8Array.from({ length: 6 * 4 * 9 }, (_, i) => Number(i % 4 === 0))
  const sparse = nn.SparseConv2d.from(layer, mask)
  t.is(sparse.weight.size, 54)
  t.is(sparse.density, 0.25)
  const x = rand([2, 4, 6, 6])
  nn.setMask(layer, 'weight', tensor(Float32Array.from(mask), [6, 4, 3, 3]))
  t.true(close(sparse.forward(x), layer.forward(x), 1e-5))
  const other = nn.SparseConv2d.from(
    new nn.Conv2d(4, 6, 3),
    Uint8Array.from(mask.keys(), (i) => Number(i % 4 === 1)),
  )
  t.deepEqual(Object.keys(sparse.stateDict()), ['weight', 'bias', 'positions'])
  other.loadStateDict(sparse.stateDict())
  t.deepEqual(other.forward(x).data, sparse.forward(x).data)
  const copy = new nn.Sequential(sparse).clone()
  sparse.weight.data.fill(0)
  t.deepEqual(copy.forward(x).data, other.forward(x).data)
})

test('positions that are loaded or written to are seen in the next pass, and refused where they do not ascend', (t) => {
  manualSeed(4)
  const x = rand([2, 2, 3, 3])
  const at = (...positions: number[]) => new nn.SparseConv2d(2, 2, 1, Int32Array.from(positions), Float32Array.of(2, 3))
  const layer = at(1, 2)
  const expected = at(0, 3).forward(x).data
  const state = layer.stateDict()
  layer.forward(x)
  layer.loadStateDict({ ...state, positions: tensor(Int32Array.of(2, 1)) })
  for (let pass = 0; pass < 3; pass++) t.throws(() => layer.forward(x), { instanceOf: EspalierError, message: /position 1 is 1/ })
  layer.loadStateDict({ ...state, positions: at(0, 3).stateDict().positions })
  t.deepEqual(layer.forward(x).data, expected)
  layer.loadStateDict(state)
  const { data } = layer.positions
  t.notDeepEqual(layer.forward(x).data, expected)
  data[0] = 0
  data[1] = 3
  t.deepEqual(layer.forward(x).data, expected)
})

test('what is refused', (t) => {
  const refused = (code: string, call: () => unknown) =>
    t.is((t.throws(call, { instanceOf: EspalierError }) as EspalierError | undefined)?.code as string, code)
  refused('INVALID_ARGUMENT', () => new nn.SparseConv2d(2, 2, 1, Int32Array.of(1, 1), new Float32Array(2)))
  refused('INVALID_ARGUMENT', () => new nn.SparseConv2d(2, 2, 1, Int32Array.of(4), new Float32Array(1)))
  refused('SHAPE_MISMATCH', () => new nn.SparseConv2d(2, 2, 1, Int32Array.of(1), new Float32Array(2)))
  refused('SHAPE_MISMATCH', () => new nn.SparseConv2d(2, 2, 1, Int32Array.of(1), new Float32Array(1), new Float32Array(3)))
  refused('INVALID_ARGUMENT', () => new nn.SparseConv2d(2, 3, 1, Int32Array.of(1), new Float32Array(1), null, { groups: 2 }))
  refused('INVALID_ARGUMENT', () => nn.SparseConv2d.from(new nn.Linear(2, 2) as never))
  refused('SHAPE_MISMATCH', () => nn.SparseConv2d.from(new nn.Conv2d(2, 2, 1), new Uint8Array(3)))
  const layer = new nn.SparseConv2d(2, 2, 1, Int32Array.of(1), new Float32Array(1))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([1, 3, 2, 2])))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([2, 2])))
  refused('DTYPE_MISMATCH', () => layer.forward(rand([1, 2, 2, 2], { dtype: 'float64' })))
  refused('INVALID_ARGUMENT', () => layer.remask([1, 0, 0, 0] as never))
  refused('SHAPE_MISMATCH', () => layer.remask(new Uint8Array(5)))
  t.deepEqual([...layer.positions.data], [1])
})
