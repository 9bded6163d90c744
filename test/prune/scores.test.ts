// Every score against its formula, written out.
import test from 'ava'
import { EspalierError, Generator, nn, noGrad, ops, prune, rand, type Tensor, tensor } from '../../lib/index.js'
import { randomSource } from '../support/gradcheck.js'

/** What a score gives for a layer, in the eyes of a pruner that has observed `body`. */
function scored(layer: nn.Module, score: prune.Score, body: (pruner: prune.Pruner) => void, model: nn.Module = layer): Float64Array {
  let seen: Tensor | undefined
  const spy: prune.Score = { ...score, of: (weight, what) => (seen = score.of(weight, what).copy()) }
  const pruner = new prune.Pruner(model, { score: spy, amount: 0, include: (_, module) => module === layer })
  body(pruner)
  pruner.step()
  pruner.remove()
  return Float64Array.from(seen!.data)
}

const close = (t: { true(ok: boolean, message?: string): void }, ours: ArrayLike<number>, theirs: ArrayLike<number>, slack = 1e-9): void => {
  t.true(ours.length === theirs.length, `${ours.length} values, expected ${theirs.length}`)
  for (let i = 0; i < ours.length; i++) t.true(Math.abs(ours[i] - theirs[i]) <= slack * (1 + Math.abs(theirs[i])), `${i}: ${ours[i]}, expected ${theirs[i]}`)
}

const layerOf = (out: number, inputs: number, seed = 1): nn.Linear => new nn.Linear(inputs, out, { generator: new Generator(seed), bias: false }).to('float64')
const batchesOf = (count: number, n: number, width: number): Tensor[] => {
  const generator = new Generator(5)
  return Array.from({ length: count }, () => generator.normal([n, width], { dtype: 'float64' }))
}

/** The gradient of Σ y² for each batch, by the formula: 2 (x w)ᵀ x. */
function gradients(weight: Tensor, batches: Tensor[]): Float64Array[] {
  const [out, inputs] = weight.shape
  return batches.map((x) => {
    const gradient = new Float64Array(out * inputs)
    for (let n = 0; n < x.shape[0]; n++)
      for (let o = 0; o < out; o++) {
        let y = 0
        for (let i = 0; i < inputs; i++) y += weight.data[o * inputs + i] * x.data[n * inputs + i]
        for (let i = 0; i < inputs; i++) gradient[o * inputs + i] += 2 * y * x.data[n * inputs + i]
      }
    return gradient
  })
}
const squaresOf = (layer: nn.Module, x: Tensor): Tensor => ops.sum(ops.square(layer.forward(x)))
const backwards = (layer: nn.Module, batches: Tensor[]) => () => {
  for (const x of batches) squaresOf(layer, x).backward()
}

test('taylor, fisher, snip and movement accumulate the gradients of all batches', (t) => {
  const batches = batchesOf(3, 4, 5)
  const sum = (weight: Tensor, of: (g: number, w: number) => number): Float64Array =>
    gradients(weight, batches).reduce((total, gradient) => total.map((value, i) => value + of(gradient[i], weight.data[i])), new Float64Array(weight.size))
  const layer = layerOf(3, 5)
  const { weight } = layer
  const run = (score: prune.Score) => scored(layer, score, (pruner) => pruner.observe(backwards(layer, batches)))
  close(
    t,
    run(prune.taylor),
    sum(weight, (g, w) => (g * w) ** 2),
  )
  close(
    t,
    run(prune.fisher),
    sum(weight, (g) => g ** 2).map((h, i) => h * weight.data[i] ** 2),
  )
  close(
    t,
    run(prune.snip),
    sum(weight, (g) => g).map((g, i) => g * weight.data[i]),
  )
  close(
    t,
    run(prune.movement),
    sum(weight, (g, w) => -g * w),
  )
  const last = gradients(weight, batches)[2]
  close(t, run(prune.gradientMagnitude), last)
})

test('gradients are dense whatever the mask, and seen as they pass, before the optimiser moves the weight', (t) => {
  const layer = layerOf(2, 3)
  nn.setMask(layer, 'weight', tensor([0, 1, 1, 1, 0, 1], [2, 3], { dtype: 'float64' }))
  const masked = layer.weight.copy()
  const [x] = batchesOf(1, 4, 3)
  const seen = scored(layer, prune.gradientMagnitude, () => squaresOf(layer, x).backward())
  close(t, seen, gradients(masked, [x])[0])
  t.true(seen.every((g) => g !== 0))
})

test('hessian: probes of a quadratic loss give its diagonal, and add up', (t) => {
  // L = Σ_n Σ_o (x·w_o)²: the Hessian's diagonal is 2 Σ_n x_i², and inputs that never meet leave nothing beside it.
  const layer = layerOf(3, 4)
  const x = tensor([2, 0, 0, 0, 0, -1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0.5], [4, 4], { dtype: 'float64' })
  const before = layer.weight.data.slice()
  const diagonal = [8, 2, 18, 0.5]
  const expected = Float64Array.from(before, (w, i) => 2 * diagonal[i % 4] * w ** 2)
  const seen = scored(layer, prune.hessian, (pruner) => {
    pruner.probe(() => squaresOf(layer, x), { generator: new Generator(1) })
    pruner.probe(() => squaresOf(layer, x), { generator: new Generator(2) })
  })
  close(t, seen, expected, 1e-6)
  t.deepEqual(layer.weight.data, before)
  t.is(layer.weight.grad, null)
})

test('a probe leaves weights and gradients as they were, also where it fails, and other statistics do not see it', (t) => {
  const model = new nn.Sequential(new nn.Linear(3, 4), new nn.Linear(4, 2)).to('float64')
  const [x] = batchesOf(1, 5, 3)
  const both: prune.Score = { ...prune.hessian, needs: [...prune.hessian.needs!, prune.gradientSum] }
  const pruner = new prune.Pruner(model, { score: both, amount: 0.5 })
  squaresOf(model, x).backward()
  const gradients = model.parameters().map(({ grad }) => grad!.data.slice())
  const state = JSON.stringify(Object.values(model.stateDict()).map(({ data }) => Array.from(data)))
  const seen = Array.from(pruner.stateDict()['0.gradientSum'].data)
  const unchanged = (): void => {
    t.is(JSON.stringify(Object.values(model.stateDict()).map(({ data }) => Array.from(data))), state)
    t.deepEqual(
      model.parameters().map(({ grad }) => grad!.data),
      gradients,
    )
    t.deepEqual(Array.from(pruner.stateDict()['0.gradientSum'].data), seen)
  }
  pruner.probe(() => squaresOf(model, x), { probes: 2 })
  unchanged()
  t.throws(() => pruner.probe(() => squaresOf(model.getModule('0'), x)), { code: 'STATE' })
  unchanged()
  t.throws(
    () =>
      pruner.probe(() => {
        throw new Error('no batch')
      }),
    { message: 'no batch' },
  )
  unchanged()
  for (const options of [{ probes: 0 }, { probes: 1.5 }, { epsilon: 0 }, { epsilon: Number.NaN }])
    t.throws(() => pruner.probe(() => squaresOf(model, x), options), { code: 'INVALID_ARGUMENT' })
  t.throws(() => new prune.Pruner(model, { amount: 0.5 }).probe(() => squaresOf(model, x)), { code: 'STATE' })
})

test('hessian: with entries beside the diagonal the mean of many probes comes near it', (t) => {
  const layer = layerOf(1, 3)
  const x = tensor([1, 0.5, -0.5], [1, 3], { dtype: 'float64' })
  const seen = scored(layer, prune.hessian, (pruner) => pruner.probe(() => squaresOf(layer, x), { probes: 2000, generator: new Generator(1) }))
  for (const [i, square] of [1, 0.25, 0.25].entries()) {
    const expected = 2 * square * layer.weight.data[i] ** 2
    t.true(Math.abs(seen[i] / 2000 - expected) < 0.1 * layer.weight.data[i] ** 2)
  }
})

test('wanda: |w|·‖x‖ over all that each weight multiplies, in layers of every kind', (t) => {
  const generator = new Generator(3)
  const cases: [nn.Module & { weight: nn.Parameter }, number[]][] = [
    [new nn.Linear(6, 4, { generator }), [5, 6]],
    [new nn.Conv2d(4, 6, 3, { generator }), [2, 4, 7, 7]],
    [new nn.Conv2d(4, 6, [3, 2], { generator, groups: 2, stride: 2, padding: 1, dilation: [1, 2] }), [2, 4, 7, 7]],
    [new nn.Conv2d(4, 4, 3, { generator, groups: 4 }), [2, 4, 7, 7]],
    [new nn.Conv1d(4, 6, 3, { generator, padding: 1 }), [2, 4, 9]],
    [new nn.ConvTranspose2d(4, 6, 3, { generator, stride: 2 }), [2, 4, 5, 5]],
  ]
  for (const [layer, shape] of cases) {
    layer.to('float64').eval()
    const batches = [generator.normal(shape, { dtype: 'float64' }), generator.normal(shape, { dtype: 'float64' })]
    const seen = scored(layer, prune.wanda, (pruner) => {
      for (const x of batches) pruner.observe(() => noGrad(() => layer.forward(x)))
    })
    // Each weight alone, put to 1: the layer's output is then what it multiplies.
    const expected = Float64Array.from({ length: layer.weight.size }, (_, i) => {
      const single = layer.clone()
      single.weight.data.fill(0)
      single.weight.data[i] = 1
      if ('bias' in single && single.bias instanceof nn.Parameter) single.bias.data.fill(0)
      const squares = batches.reduce((sum, x) => sum + noGrad(() => ops.sum(ops.square(single.forward(x)))).item(), 0)
      return Math.abs(layer.weight.data[i]) * Math.sqrt(squares)
    })
    close(t, seen.map(Math.abs), expected)
  }
})

test('wanda: forward passes in evaluation mode count only when observed', (t) => {
  const layer = layerOf(2, 3).eval()
  const pruner = new prune.Pruner(layer, prune.policies.wanda({ sparsity: 1 / 3 }))
  layer.forward(rand([4, 3], { dtype: 'float64' }))
  t.throws(() => pruner.step(), { instanceOf: EspalierError, code: 'STATE', message: /inputSquares/ })
  t.false(prune.isPruned(layer))
  pruner.observe(() => layer.forward(rand([4, 3], { dtype: 'float64' })))
  pruner.step()
  t.deepEqual(
    [0, 1].map((row) => Array.from(nn.maskOf(layer, 'weight')!.data).filter((entry, i) => Math.floor(i / 3) === row && entry === 1).length),
    [2, 2],
  )
})

test('lamp: squares over the sum of the squares that are no smaller', (t) => {
  const random = randomSource(1)
  for (const [out, inputs] of [
    [1, 1],
    [3, 5],
    [40, 70],
  ]) {
    const layer = layerOf(out, inputs)
    for (let i = 0; i < layer.weight.size; i++) layer.weight.data[i] = Math.round((random() * 2 - 1) * 20) / 4
    const w = layer.weight.data
    const order = Array.from(w.keys()).sort((a, b) => Math.abs(w[a]) - Math.abs(w[b]) || a - b)
    const expected = new Float64Array(w.length)
    let sum = 0
    for (const i of order.toReversed()) {
      sum += w[i] ** 2
      expected[i] = w[i] === 0 ? 0 : w[i] ** 2 / sum
    }
    close(
      t,
      scored(layer, prune.lamp, () => {}),
      expected,
    )
  }
})

test('fpgm: summed distances between filters, those that have fallen left out', (t) => {
  const conv = new nn.Conv2d(1, 3, 3, { bias: false })
  for (const [filter, value] of [3, 2, 0.1].entries()) conv.weight.data.fill(value, 9 * filter, 9 * filter + 9)
  const first = (values: Float64Array): number[] => [0, 9, 18].map((i) => values[i])
  close(t, first(scored(conv, prune.fpgm(), () => {})), [11.7, 8.7, 14.4], 1e-6)
  prune.customFromMask(conv, 'weight', tensor([...Array(9).fill(1), ...Array(9).fill(0), ...Array(9).fill(1)], [3, 1, 3, 3]))
  close(t, first(scored(conv.clone(), prune.fpgm(), () => {})), [8.7, 0, 8.7], 1e-6)

  const other = new nn.Conv2d(3, 2, 1, { bias: false })
  other.weight.data.set([1, 2, 4, 1, 2, 4])
  close(t, scored(other, prune.fpgm({ dim: 1 }), () => {}).slice(0, 3), [Math.SQRT2 * 4, Math.SQRT2 * 3, Math.SQRT2 * 5], 1e-6)
})

test('fpgm lets the filter in the middle fall', (t) => {
  const conv = new nn.Conv2d(1, 3, 3, { bias: false })
  for (const [filter, value] of [3, 2, 0.1].entries()) conv.weight.data.fill(value, 9 * filter, 9 * filter + 9)
  new prune.Pruner(conv, prune.policies.fpgm({ rate: 1 / 3 })).step()
  t.deepEqual(
    [0, 9, 18].map((i) => nn.maskOf(conv, 'weight')!.data[i]),
    [1, 0, 1],
  )
})

test('bnScale: the scale behind each filter', (t) => {
  const model = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.Conv2d(4, 2, 3))
  const norm = model.getModule('1') as nn.BatchNorm2d
  norm.weight!.data.set([0.5, -0.1, 2, -3])
  const conv = model.getModule('0')
  const seen = scored(conv, prune.bnScale(), () => {}, model)
  close(
    t,
    [0, 9, 18, 27].map((i) => seen[i]),
    [0.5, 0.1, 2, 3],
    1e-6,
  )
  new prune.Pruner(model, { ...prune.policies.slimming({ rate: 0.5 }), include: '0' }).step()
  t.deepEqual(
    [0, 9, 18, 27].map((i) => nn.maskOf(conv, 'weight')!.data[i]),
    [0, 0, 1, 1],
  )
  t.deepEqual(Array.from(nn.maskOf(conv, 'bias')!.data), [0, 0, 1, 1])
  // The last convolution has none, and nothing has changed.
  const bare = new nn.Sequential(new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4), new nn.Conv2d(4, 2, 3))
  t.throws(() => new prune.Pruner(bare, prune.policies.slimming({ rate: 0.5 })).step(), { code: 'INVALID_ARGUMENT', message: /batch norm/ })
  t.false(prune.isPruned(bare))
})

test('random draws by its seed; a function is a score', (t) => {
  const masks = [1, 1, 2].map((seed) => {
    const layer = layerOf(20, 20)
    new prune.Pruner(layer, { score: prune.random({ generator: new Generator(seed) }), amount: 0.5 }).step()
    return nn.maskOf(layer, 'weight')!.data.join()
  })
  t.is(masks[0], masks[1])
  t.not(masks[0], masks[2])

  const layer = layerOf(2, 2)
  layer.weight.data.set([-4, 1, 2, -3])
  new prune.Pruner(layer, { score: (weight) => weight, amount: 2 }).step()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), [0, 1, 1, 0])
})

test('a statistic of a score starts again after each draw, and clones are not observed', (t) => {
  const layer = layerOf(2, 3)
  const [x, y] = batchesOf(2, 4, 3)
  let seen: Tensor | undefined
  const spy: prune.Score = { ...prune.taylor, of: (_, what) => (seen = what.of(prune.removalLoss).copy()) }
  const pruner = new prune.Pruner(layer, { score: spy, amount: 0.5, schedule: prune.redraw() })
  t.throws(() => pruner.step(), { code: 'STATE' })
  squaresOf(layer, x).backward()
  squaresOf(layer.clone(), x).backward()
  pruner.start()
  close(
    t,
    seen!.data,
    gradients(layer.latentWeight('weight'), [x])[0].map((g, i) => (g * layer.latentWeight('weight').data[i]) ** 2),
  )
  t.throws(() => pruner.step(), { code: 'STATE', message: /removalLoss/ })
  const masked = layer.weight.copy()
  squaresOf(layer, y).backward()
  pruner.step()
  close(
    t,
    seen!.data,
    gradients(masked, [y])[0].map((g, i) => (g * layer.latentWeight('weight').data[i]) ** 2),
  )
})
