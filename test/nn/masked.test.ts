// Masked layers on sparse kernels: what they compute and learn is what the dense product with weight · mask does.
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { backward, graph, kernels, manualSeed, nn, noGrad, ops, optim, prune, qnn, rand, type Tensor, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { isAlone, panelsOf } from '../../lib/tensor/index.js'
import { randomSource } from '../support/gradcheck.js'

const rules = { masked: prune.masked, straightThrough: prune.straightThrough, srSte: prune.srSte() } as const
type Rule = keyof typeof rules

/** A mask that keeps about so many, the same for the same seed. */
function maskLike({ shape, size }: Tensor, density: number, seed: number): Tensor {
  const random = randomSource(seed)
  return tensor(
    Float32Array.from({ length: size }, () => Number(random() < density)),
    shape,
  )
}

/** The largest difference, relative to the larger of 1 and the largest value. */
function apart(a: Tensor, b: Tensor): number {
  let [worst, largest] = [0, 1]
  for (const [i, value] of b.copy().data.entries()) {
    worst = Math.max(worst, Math.abs(value - a.data[i]))
    largest = Math.max(largest, Math.abs(value))
  }
  return a.size === b.size ? worst / largest : Infinity
}

const runs = (model: nn.Module): string[] => nn.explain(model).layers.map((layer) => layer.runs)

/** The same model on dense kernels and on those that are named. */
function twins<M extends nn.Module>(model: M, kernels: nn.MaskedKernels): [dense: M, other: M] {
  return [model.clone().maskedKernels('dense'), model.clone().maskedKernels(kernels)]
}

// Smooth ones: a rounding that moves a sum over a ReLU's kink is another step, and courses part for good.
const networks = {
  mlp: {
    make: () => new nn.Sequential(new nn.Linear(40, 64), new nn.Tanh(), new nn.Linear(64, 48), new nn.Tanh(), new nn.Linear(48, 5)),
    masked: [0, 2],
    input: [40],
  },
  cnn: {
    make: () =>
      new nn.Sequential(
        new nn.Conv2d(2, 8, 3, { padding: 1 }),
        new nn.BatchNorm2d(8),
        new nn.Tanh(),
        new nn.Conv2d(8, 12, 3, { stride: 2 }),
        new nn.Tanh(),
        new nn.Flatten(),
        new nn.Linear(12 * 9, 5),
      ),
    masked: [0, 3, 6],
    input: [2, 8, 8],
  },
} as const

const optimisers = {
  SGD: (model: nn.Module) => new optim.SGD(model.parameters(), { lr: 0.02, momentum: 0.9 }),
  'SGD, decay': (model: nn.Module) => new optim.SGD(model.parameters(), { lr: 0.05, weightDecay: 0.01 }),
  Adam: (model: nn.Module) => new optim.Adam(model.parameters(), { lr: 0.002, eps: 1e-4 }),
  RMSprop: (model: nn.Module) => new optim.RMSprop(model.parameters(), { lr: 0.001, eps: 1e-2, momentum: 0.5 }),
}

const layerOf = (model: nn.Sequential, i: number): nn.Module => model.at(i) as nn.Module
const weightIn = (model: nn.Sequential, i: number): Tensor => layerOf(model, i).latentWeight('weight')

/** 200 steps beside the dense masked path, the masks changed at 50, 100 and 150. */
function follow(t: ExecutionContext, network: keyof typeof networks, rule: Rule, optimiser: keyof typeof optimisers, { freeze = false } = {}): void {
  manualSeed(7)
  const { masked, input } = networks[network]
  const models = twins(networks[network].make(), 'sparse')
  const make: (model: nn.Module) => optim.SGD | optim.Adam | optim.RMSprop = optimisers[optimiser]
  const optimizers = models.map(make)
  const batch = rand([16, ...input])
  const labels = tensor(Int32Array.from({ length: 16 }, (_, i) => i % 5))
  let worst = 0
  for (let step = 0; step < 200; step++) {
    if (step % 50 === 0)
      for (const [m, model] of models.entries())
        for (const i of masked) {
          const layer = layerOf(model, i)
          nn.setMask(layer, 'weight', maskLike(layer.latentWeight('weight'), 0.5 - step / 400, step + i), { gradient: rules[rule] })
          if (freeze) optimizers[m].setMask(layer.latentWeight('weight'), nn.maskOf(layer, 'weight'))
        }
    const losses = models.map((model, m) => {
      const loss = ops.crossEntropy(model.forward(batch), labels)
      optimizers[m].zeroGrad()
      loss.backward()
      optimizers[m].step()
      return loss.item()
    })
    worst = Math.max(worst, Math.abs(losses[0] - losses[1]))
  }
  t.true(worst < 2e-4, `losses ${worst} apart`)
  const [dense, sparse] = models
  for (const i of masked) {
    t.is(nn.explain(sparse).layers.find(({ layer }) => layer === String(i))?.weightGradient, rule === 'masked' ? 'kept' : 'all')
    // Those that are masked too: they keep what they were, or learn.
    const difference = apart(weightIn(sparse, i), weightIn(dense, i))
    t.true(difference < 2e-3, `weights of ${i} ${difference} apart`)
  }
  t.deepEqual(new Set(runs(dense)), new Set(['dense']))
}

for (const network of ['mlp', 'cnn'] as const)
  for (const rule of ['masked', 'straightThrough', 'srSte'] as const)
    test(`training follows the dense masked path: ${network}, ${rule}`, (t) => follow(t, network, rule, 'SGD'))
for (const optimiser of ['SGD, decay', 'Adam', 'RMSprop'] as const)
  test(`training follows the dense masked path: ${optimiser}`, (t) => follow(t, 'mlp', 'masked', optimiser))
for (const optimiser of ['SGD, decay', 'Adam', 'RMSprop'] as const)
  test(`training follows the dense masked path: ${optimiser}, masks in the optimiser`, (t) => follow(t, 'mlp', 'masked', optimiser, { freeze: true }))

/** Output and gradients of one layer for the sum of squares. */
type Layer = nn.Linear | nn.Conv1d | nn.Conv2d

function pass(layer: Layer, x: Tensor): Tensor[] {
  const input = tensor(x.data.slice(), x.shape, { requiresGrad: true })
  layer.zeroGrad()
  const y = layer.forward(input)
  ops.sum(ops.square(y)).backward()
  return [y, input.grad as Tensor, layer.latentWeight('weight').grad as Tensor, ...(layer.bias ? [layer.bias.grad as Tensor] : [])]
}

function agree(layer: Layer, mask: Tensor, rule: Rule, x: Tensor): void {
  nn.setMask(layer, 'weight', mask, { gradient: rules[rule] })
  const [dense, sparse] = twins(layer, 'sparse')
  const expected = pass(dense, x)
  for (const [i, result] of pass(sparse, x).entries())
    if (!(apart(result, expected[i]) < 1e-4))
      throw new Error(`${['output', 'data gradient', 'weight gradient', 'bias gradient'][i]} ${apart(result, expected[i])} apart`)
  if (runs(sparse)[0] !== 'sparse') throw new Error(`it ran dense: ${nn.explain(sparse).layers[0].reason}`)
}

const keeps = fc.constantFrom<[string, (i: number, row: number) => boolean]>(
  ['all', () => true],
  ['none', () => false],
  ['one', (i) => i === 0],
  ['empty rows', (i, row) => row % 2 === 0 && i % 3 !== 0],
  ['few', (i) => (i * 2654435761) % 97 < 9],
  ['half', (i) => (i * 40503) % 11 < 6],
)
const ruleOf = fc.constantFrom<Rule>('masked', 'straightThrough', 'srSte')

test('linear: any mask, shape and rule gives what the dense product gives', (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 35 }),
      keeps,
      ruleOf,
      fc.boolean(),
      (out, inside, samples, [, keep], rule, bias) => {
        const layer = new nn.Linear(inside, out, { bias })
        const mask = tensor(
          Float32Array.from({ length: out * inside }, (_, i) => Number(keep(i, Math.floor(i / inside)))),
          [out, inside],
        )
        agree(layer, mask, rule, rand([samples, inside]))
      },
    ),
    { numRuns: 120 },
  )
  t.pass()
})

test('conv2d: any mask, geometry and rule gives what the dense product gives', (t) => {
  const geometry = fc.record({
    groups: fc.constantFrom(1, 2),
    stride: fc.constantFrom(1, 2),
    padding: fc.constantFrom(0, 1),
    dilation: fc.constantFrom(1, 2),
  })
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 6, max: 19 }),
      geometry,
      keeps,
      ruleOf,
      (inside, out, kernel, size, steps, [, keep], rule) => {
        const layer = new nn.Conv2d(inside * steps.groups, out * steps.groups, kernel, steps)
        const { shape, size: weights } = layer.weight
        const mask = tensor(
          Float32Array.from({ length: weights }, (_, i) => Number(keep(i, Math.floor(i / (weights / shape[0]))))),
          shape,
        )
        agree(layer, mask, rule, rand([2, inside * steps.groups, size, size]))
      },
    ),
    { numRuns: 80 },
  )
  t.pass()
})

test('conv1d: any mask, geometry and rule gives what the dense product gives', (t) => {
  const geometry = fc
    .record({ groups: fc.constantFrom(1, 2), dilation: fc.constantFrom(1, 2) })
    .chain((fixed) =>
      fc
        .oneof(
          fc.record({ stride: fc.constantFrom(1, 2, 3), padding: fc.constantFrom<number | 'valid'>(0, 2, 'valid') }),
          fc.constant({ stride: 1, padding: 'same' as const }),
        )
        .map((steps) => ({ ...fixed, ...steps })),
    )
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 8, max: 50 }),
      geometry,
      keeps,
      ruleOf,
      (inside, out, kernel, length, steps, [, keep], rule) => {
        const layer = new nn.Conv1d(inside * steps.groups, out * steps.groups, kernel, steps)
        const { shape, size } = layer.weight
        const mask = tensor(
          Float32Array.from({ length: size }, (_, i) => Number(keep(i, Math.floor(i / (size / shape[0]))))),
          shape,
        )
        agree(layer, mask, rule, rand([3, inside * steps.groups, length]))
      },
    ),
    { numRuns: 60 },
  )
  t.pass()
})

const wide = (density = 0.1): nn.Linear => {
  const layer = new nn.Linear(256, 192)
  nn.setMask(layer, 'weight', maskLike(layer.weight, density, 3))
  return layer
}

test('by itself a layer takes sparse kernels where they are the faster', (t) => {
  const x = rand([64, 256])
  const whyOf = (layer: nn.Module, input: Tensor = x): string => {
    layer.forward(input)
    const [{ runs, reason }] = nn.explain(layer).layers
    return `${runs}: ${reason}`
  }
  t.regex(whyOf(wide()), /^sparse: [\d.]+ times as fast$/)
  t.is(whyOf(wide(0.9)), 'dense: it keeps more than 60%')
  t.regex(whyOf(wide(0.55)), /^dense: (sparse kernels are hardly faster|the dense product is the faster) for this batch$/)
  t.is(whyOf(new nn.Linear(256, 192)), 'dense: it has no mask')
  t.is(whyOf(wide(), rand([1, 256])), 'dense: so small a product has nothing to gain')
  t.is(whyOf(wide().maskedKernels('dense')), 'dense: asked for')
  t.is(whyOf(wide(0.9).maskedKernels('sparse')), 'sparse: asked for')
  t.is(whyOf(wide().maskedKernels('sparse').to('float64'), tensor(x.data, x.shape, { dtype: 'float64' })), 'dense: only float32 has sparse kernels')
  t.is(whyOf(wide().maskedKernels('sparse'), rand([0, 256])), 'dense: there is nothing to multiply')
  const soft = new nn.Linear(256, 192)
  nn.setMask(soft, 'weight', rand([192, 256]))
  t.is(whyOf(soft.maskedKernels('sparse')), 'dense: the mask holds values other than 0 and 1')
  const shifted = wide().maskedKernels('sparse')
  shifted.addTransform('weight', { kind: 'offset', stage: nn.stages.quantiser, apply: (weight) => weight.add(1) })
  t.is(whyOf(shifted), 'dense: behind its mask may change zeros: the offset')
  const learned = new nn.Linear(256, 192)
  prune.softThreshold().attach(learned, 'weight')
  t.is(whyOf(learned), 'dense: its zeros come of no mask')
  t.is(nn.explain(new nn.Conv1d(2, 3, 3)).layers[0].reason, 'it has no mask')
})

test('what is chosen depends on what is asked for: gradients, batches', (t) => {
  const layer = wide(0.4)
  layer.forward(rand([256, 256]))
  const training = nn.explain(layer).layers[0]
  noGrad(() => layer.forward(rand([256, 256])))
  const inference = nn.explain(layer).layers[0]
  t.is(inference.weightGradient, undefined)
  t.true((training.dense as number) > (inference.dense as number))
})

test('explain runs a model on its own, leaves its mode and prints a table', (t) => {
  const small = new nn.Sequential(wide(), new nn.ReLU(), new nn.Linear(192, 4))
  const told = nn.explain(small, { input: [256], batch: 32 })
  t.true(small.training)
  t.deepEqual(
    told.layers.map(({ layer, type, runs }) => [layer, type, runs]),
    [
      ['0', 'Linear', 'sparse'],
      ['2', 'Linear', 'dense'],
    ],
  )
  const { density = 0, dense = 0, sparse = Infinity, kernel = '', weightGradient } = told.layers[0]
  t.true(Math.abs(density - 0.1) < 0.02 && sparse < dense && kernel !== '' && weightGradient === 'kept')
  t.regex(String(told), /layer.*why/)
  // What making the sparse layer's kernels took is measured; it says nothing of the other.
  t.true((told.layers[0].making as number) > 0)
  t.is(told.layers[1].making, undefined)
  // Behind a sparse layer so small a one works on panels, unless the dense product is asked for.
  t.deepEqual([told.layers[1].reason, typeof told.layers[1].kernel], ['it has no mask; in panels', 'string'])
  const asked = nn.explain(small.clone().maskedKernels('dense'), { input: [256], batch: 32 }).layers[1]
  t.deepEqual(asked, { layer: '2', type: 'Linear', runs: 'dense', reason: 'it has no mask' })
  // It says so no more of one that got a mask since, until that has run.
  const later = small.clone()
  nn.explain(later, { input: [256], batch: 32 })
  nn.setMask(layerOf(later, 2), 'weight', maskLike(weightIn(later, 2), 0.9, 1))
  t.deepEqual(nn.explain(later).layers[1], { layer: '2', type: 'Linear', runs: 'dense', reason: 'it has not run, or is no layer with sparse kernels' })
  t.regex(nn.explain(later, { input: [256], batch: 32 }).layers[1].reason, /^(?!it has not run).*; in panels$/)
  small.at(-1)?.maskedKernels('dense')
  t.is(nn.explain(small, { input: [256], batch: 32 }).layers[1].kernel, undefined)
  small.maskedKernels('auto')
  const [compact] = nn.explain(nn.SparseLinear.from(wide())).layers
  t.is(compact.reason, 'it holds its kept weights alone')
  t.true((compact.making as number) > 0)
  t.is(nn.explain(wide()).layers[0].reason, 'it has not run, or is no layer with sparse kernels')
  t.throws(() => nn.explain(small, { input: [0.5] }), { code: 'INVALID_ARGUMENT' })
  t.throws(() => nn.explain(small, { input: [256], batch: 0 }), { code: 'INVALID_ARGUMENT' })
  t.throws(() => small.maskedKernels('fast' as never), { code: 'INVALID_ARGUMENT' })
})

test('a mask that changes too often stays dense until one lasts', (t) => {
  const layer = wide()
  const x = rand([64, 256])
  const ran: string[] = []
  const train = (passes: number): void => {
    for (let i = 0; i < passes; i++) {
      layer.forward(x)
      ran.push(runs(layer)[0])
    }
  }
  train(1)
  for (let change = 0; change < 5; change++) {
    nn.setMask(layer, 'weight', maskLike(layer.latentWeight('weight'), 0.1, change))
    train(1)
  }
  t.deepEqual(ran, ['sparse', ...new Array<string>(5).fill('dense')])
  t.regex(nn.explain(layer).layers[0].reason, /^masks change too often: one must last \d+ passes/)
  train(500)
  t.is(ran.at(-1), 'sparse')
  // Taking a mask off and putting one on is a change like any other.
  for (let change = 0; change < 3; change++) {
    nn.removeMask(layer, 'weight')
    nn.setMask(layer, 'weight', maskLike(layer.latentWeight('weight'), 0.1, change))
    train(1)
  }
  t.deepEqual(ran.slice(-3), ['sparse', 'dense', 'dense'])
  train(500)
  // One that lasted: the next is trusted.
  nn.setMask(layer, 'weight', maskLike(layer.latentWeight('weight'), 0.1, 77))
  train(1)
  t.is(ran.at(-1), 'sparse')
})

test('a mask written to, replaced or loaded is seen in the next pass', (t) => {
  const layer = wide().maskedKernels('sparse')
  const dense = layer.clone().maskedKernels('dense')
  const x = rand([8, 256])
  const same = (): boolean => apart(layer.forward(x), dense.forward(x)) < 1e-5
  const mask = nn.maskOf(layer, 'weight') as Tensor
  t.true(same())
  for (const one of [layer, dense]) (nn.maskOf(one, 'weight') as Tensor).data.fill(1, 0, 500)
  t.true(same())
  mask.data.fill(0, 0, 400)
  t.false(same())
  ;(nn.maskOf(dense, 'weight') as Tensor).data.fill(0, 0, 400)
  t.true(same())
  for (const one of [layer, dense]) nn.setMask(one, 'weight', maskLike(layer.latentWeight('weight'), 0.3, 9))
  t.true(same())
  const state = wide(0.2).stateDict()
  for (const one of [layer, dense]) one.loadStateDict(state)
  t.true(same())
  nn.removeMask(layer, 'weight')
  t.true(same())
  t.is(nn.explain(layer).layers[0].reason, 'it has no mask')
})

test('a mask written to between two conversions is seen in the next pass', (t) => {
  const [dense, sparse] = twins(wide(), 'sparse')
  const x = rand([8, 256])
  const same = (): boolean => apart(sparse.forward(x), dense.forward(x)) < 1e-5
  t.true(same())
  // (No pass sees the elements in hands: there is none in float64.)
  for (const one of [dense, sparse]) {
    one.to('float64')
    ;(nn.maskOf(one, 'weight') as Tensor).data.fill(1, 0, 500)
    one.to('float32')
  }
  t.true(same())
  t.deepEqual(runs(sparse), ['sparse'])
})

test('masked_linear gives the gradient of all entries, or of the kept ones and 0 elsewhere', (t) => {
  const [rows, columns] = [9, 21]
  const mask = maskLike(rand([rows, columns]), 0.3, 11)
  const kept = mask.data as Float32Array
  const matrix = new kernels.SparseMatrix(kept, rows, columns, { mask: kept })
  // By rows, and in panels.
  for (const samples of [3, 40]) {
    const drawn = [rand([samples, columns]), rand([rows, columns]), rand([rows])]
    const grad = rand([samples, rows])
    const of = (product: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor): Tensor[] => {
      const [x, weight, bias] = drawn.map(({ data, shape }) => tensor(data.slice(), shape, { requiresGrad: true }))
      const output = product(x, weight, bias)
      backward(output, grad)
      return [output, ...[x, weight, bias].map((one) => one.grad as Tensor)]
    }
    const [output, dx, , db] = of((x, weight, bias) => ops.linear(x, weight.mul(mask), bias))
    const [, , dw] = of(ops.linear)
    for (const ofKept of [true, false]) {
      const found = of((x, weight, bias) => ops.maskedLinear(x, weight, matrix, bias, ofKept))
      t.is(panelsOf(found[0]) !== null, samples === 40)
      for (const [i, expected] of [output, dx, ofKept ? dw.mul(mask) : dw, db].entries())
        t.true(apart(found[i], expected) < 1e-5, `${samples} samples, ${ofKept ? 'of the kept' : 'of all'}: ${['output', 'x', 'weight', 'bias'][i]}`)
    }
  }
})

test('masked_linear refuses what is no matrix, and a weight of another shape', (t) => {
  const kept = new Float32Array(12).fill(1)
  const matrix = new kernels.SparseMatrix(kept, 3, 4, { mask: kept })
  const [x, weight] = [rand([2, 4]), rand([3, 4])]
  const refusals: [code: string, message: RegExp, body: () => unknown][] = [
    ['INVALID_ARGUMENT', /^masked_linear: matrix is null, expected a SparseMatrix$/, () => ops.maskedLinear(x, weight, null as never)],
    ['INVALID_ARGUMENT', /^masked_linear: matrix is .*, expected a SparseMatrix$/, () => ops.maskedLinear(x, weight, {} as never)],
    ['INVALID_ARGUMENT', /^masked_linear: weight is null, expected a tensor$/, () => ops.maskedLinear(x, null as never, matrix)],
    ['INVALID_ARGUMENT', /^masked_linear: x is undefined, expected a tensor$/, () => ops.maskedLinear(undefined as never, weight, matrix)],
    ['SHAPE_MISMATCH', /^masked_linear: weight has shape \[4, 3\], the matrix is \[3, 4\]$/, () => ops.maskedLinear(x, rand([4, 3]), matrix)],
    ['SHAPE_MISMATCH', /^masked_linear: weight has shape \[12\], the matrix is \[3, 4\]$/, () => ops.maskedLinear(x, rand([12]), matrix)],
    ['DTYPE_MISMATCH', /^masked_linear: a float64 tensor meets a float32 one$/, () => ops.maskedLinear(x, weight.to('float64'), matrix)],
  ]
  for (const [code, message, body] of refusals) t.throws(body, { code, message })
})

test('masked_conv2d gives the gradient of all entries, or of the kept ones and 0 elsewhere', (t) => {
  for (const [kernel, groups, steps] of [
    [3, 1, { padding: 1 }],
    [1, 1, {}],
    [2, 2, { stride: 2 }],
  ] as const) {
    const shape = [6, 4 / groups, kernel, kernel]
    const mask = maskLike(rand(shape), 0.3, 11)
    const kept = mask.data as Float32Array
    const convolution = new kernels.SparseConv2d(kept, 4, 6, kernel, { groups, mask: kept })
    const drawn = [rand([3, 4, 6, 6]), rand(shape), rand([6])]
    const of = (product: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor): Tensor[] => {
      const [x, weight, bias] = drawn.map(({ data, shape }) => tensor(data.slice(), shape, { requiresGrad: true }))
      const output = product(x, weight, bias)
      // (All are given the same gradient.)
      backward(
        output,
        tensor(
          new Float32Array(output.size).map((_, i) => Math.sin(i)),
          output.shape,
        ),
      )
      return [output, ...[x, weight, bias].map((one) => one.grad as Tensor)]
    }
    const [output, dx, , db] = of((x, weight, bias) => ops.conv2d(x, weight.mul(mask), bias, { ...steps, groups }))
    const [, , dw] = of((x, weight, bias) => ops.conv2d(x, weight, bias, { ...steps, groups }))
    for (const ofKept of [true, false]) {
      const found = of((x, weight, bias) => ops.maskedConv2d(x, weight, convolution, bias, steps, ofKept))
      for (const [i, expected] of [output, dx, ofKept ? dw.mul(mask) : dw, db].entries())
        t.true(apart(found[i], expected) < 1e-5, `${kernel}×${kernel}, ${ofKept ? 'of the kept' : 'of all'}: ${['output', 'x', 'weight', 'bias'][i]}`)
    }
  }
})

test('masked_conv2d refuses what is no convolution, and a weight of another shape', (t) => {
  const kept = new Float32Array(24).fill(1)
  const convolution = new kernels.SparseConv2d(kept, 4, 6, 1, { mask: kept })
  const [x, weight] = [rand([2, 4, 3, 3]), rand([6, 4, 1, 1])]
  const shape = (of: readonly number[]): unknown => ops.maskedConv2d(x, rand(of), convolution, null)
  const refusals: [code: string, message: RegExp, body: () => unknown][] = [
    ['INVALID_ARGUMENT', /^masked_conv2d: convolution is null, expected a kernels.SparseConv2d$/, () => ops.maskedConv2d(x, weight, null as never, null)],
    ['INVALID_ARGUMENT', /^masked_conv2d: weight is null, expected a tensor$/, () => ops.maskedConv2d(x, null as never, convolution, null)],
    ['INVALID_ARGUMENT', /^masked_conv2d: x is undefined, expected a tensor$/, () => ops.maskedConv2d(undefined as never, weight, convolution, null)],
    ['SHAPE_MISMATCH', /^masked_conv2d: weight has shape \[4, 6, 1, 1\], that of the convolution is \[6, 4, 1, 1\]$/, () => shape([4, 6, 1, 1])],
    ['SHAPE_MISMATCH', /^masked_conv2d: weight has shape \[6, 4\], that of the convolution is \[6, 4, 1, 1\]$/, () => shape([6, 4])],
    ['DTYPE_MISMATCH', /^masked_conv2d: a float64 tensor meets a float32 one$/, () => ops.maskedConv2d(x, weight.to('float64'), convolution, null)],
  ]
  for (const [code, message, body] of refusals) t.throws(body, { code, message })
})

test('a parameter held by its kept values is like any other to whoever looks', (t) => {
  const [dense, sparse] = twins(wide(), 'sparse')
  const optimizers = [dense, sparse].map((one) => new optim.SGD(one.parameters(), { lr: 0.1, momentum: 0.9 }))
  const x = rand([8, 256])
  const step = (): void => {
    for (const [i, one] of [dense, sparse].entries()) {
      one.zeroGrad()
      ops.sum(ops.square(one.forward(x))).backward()
      optimizers[i].step()
    }
  }
  const [a, b] = [dense, sparse].map((one) => one.latentWeight('weight'))
  step()
  // Saved, copied and cloned between steps.
  t.true(apart(sparse.stateDict().weight_orig, dense.stateDict().weight_orig) < 1e-5)
  step()
  t.true(apart(sparse.clone().latentWeight('weight'), a) < 1e-5)
  t.is(b.size, 256 * 192)
  t.is(b.device, 'cpu')
  step()
  t.true(apart(b, a) < 1e-5)
  // Whoever holds the elements sees every step, and what they write counts.
  const held = b.data
  step()
  t.true(apart(tensor(held as Float32Array, b.shape), a) < 1e-5)
  held.fill(0.5, 0, 1000)
  a.data.fill(0.5, 0, 1000)
  step()
  t.true(apart(tensor(held as Float32Array, b.shape), a) < 1e-5)
  t.true(apart(sparse.forward(x), dense.forward(x)) < 1e-5)
})

test('a parameter is held by its kept values unless its elements may be in hands', (t) => {
  const x = rand([8, 256])
  const holds = (layer: nn.Linear): boolean => {
    layer.maskedKernels('sparse').forward(x)
    return isAlone(layer.latentWeight('weight'))
  }
  t.true(holds(wide()))
  const seen = wide()
  const { data } = seen.latentWeight('weight')
  t.false(holds(seen))
  t.true(holds(seen.clone()))
  t.is(seen.latentWeight('weight').data, data)
  for (const show of [
    (p: Tensor) => p.detach(),
    (p: Tensor) => p.reshape([-1]),
    (p: Tensor) => tensor(p),
    (p: Tensor) => p.to('cpu'),
    (p: Tensor) => p.to('float32'),
  ]) {
    const layer = wide()
    show(layer.latentWeight('weight'))
    t.false(holds(layer))
  }
  // An array of the caller's that became a parameter, and a copy of which two hold the same.
  const own = wide()
  ;(own as unknown as Record<string, unknown>).weight_orig = new nn.Parameter(tensor(new Float32Array(192 * 256), [192, 256]))
  t.false(holds(own))
  const twice = wide()
  Object.assign(twice, { view: { of: twice.latentWeight('weight').detach() } })
  t.false(holds(twice.clone()))
  // One whose gradient is another than of kept values, and one that ran dense.
  const free = wide()
  nn.setMask(free, 'weight', maskLike(free.latentWeight('weight'), 0.1, 1), { gradient: prune.straightThrough })
  t.false(holds(free))
})

test('gradients add up, pass twice, and pass a mask that has changed since', (t) => {
  const [dense, sparse] = twins(wide(), 'sparse')
  const x = rand([8, 256])
  const gradient = (one: nn.Linear): Tensor => one.latentWeight('weight').grad as Tensor
  const both = (act: (one: nn.Linear) => void): number => {
    for (const one of [dense, sparse]) act(one)
    return apart(gradient(sparse), gradient(dense))
  }
  const loss = (one: nn.Linear): Tensor => ops.sum(ops.square(one.forward(x)))
  t.true(both((one) => loss(one).backward()) < 1e-5)
  t.true(both((one) => loss(one).backward()) < 1e-5)
  t.true(
    both((one) => {
      const twice = loss(one)
      twice.backward(undefined, { retainGraph: true })
      twice.backward()
    }) < 1e-5,
  )
  t.true(
    both((one) => {
      const before = loss(one)
      nn.setMask(one, 'weight', maskLike(one.latentWeight('weight'), 0.3, 4))
      const now = loss(one)
      backward(before)
      backward(now)
    }) < 1e-5,
  )
  // Used twice in one pass, and as another layer's weight.
  const tied = [dense, sparse].map((one) => {
    const other = one.clone()
    ;(other as unknown as Record<string, unknown>).weight_orig = one.latentWeight('weight')
    return other
  })
  t.true(
    both((one) => {
      one.zeroGrad()
      const other = tied[[dense, sparse].indexOf(one)]
      loss(one)
        .add(ops.sum(one.forward(x)))
        .add(ops.sum(ops.square(other.forward(x))))
        .backward()
    }) < 1e-5,
  )
})

test('hooks, clipping and observers see what they would see', (t) => {
  const [dense, sparse] = twins(wide(), 'sparse')
  const seen: Tensor[] = []
  const x = rand([8, 256])
  for (const one of [dense, sparse]) {
    one.registerForwardHook((_, __, output) => void seen.push(output))
    ops.sum(ops.square(one.forward(x))).backward()
    optim.clipGradNorm(one.parameters(), 0.5)
  }
  t.true(apart(seen[1], seen[0]) < 1e-5)
  t.true(apart(sparse.latentWeight('weight').grad as Tensor, dense.latentWeight('weight').grad as Tensor) < 1e-6)
  // RigL regrows where the gradient is largest: it needs that of weights that are masked.
  const grown = twins(new nn.Sequential(new nn.Linear(40, 32), new nn.ReLU(), new nn.Linear(32, 30)), 'sparse').map((model) => {
    manualSeed(3)
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
    const pruner = new prune.Pruner(model, { ...prune.policies.rigl({ sparsity: 0.7, end: 40, frequency: 5 }), optimizer })
    const input = rand([16, 40])
    for (let step = 0; step < 20; step++) {
      model.zeroGrad()
      ops.sum(ops.square(model.forward(input))).backward()
      optimizer.step()
      pruner.step()
    }
    return nn.maskOf(layerOf(model, 0), 'weight') as Tensor
  })
  t.deepEqual(grown[1].data, grown[0].data)
})

test('running means of kept entries are saved, loaded and go on with another mask as dense ones do', (t) => {
  const [dense, sparse] = twins(wide(), 'sparse')
  const x = rand([8, 256])
  const make = (one: nn.Module): optim.Adam => new optim.Adam(one.parameters(), { lr: 0.01, eps: 1e-3 })
  let optimizers = [dense, sparse].map(make)
  const steps = (count: number): void => {
    for (const [i, one] of [dense, sparse].entries())
      for (let step = 0; step < count; step++) {
        one.zeroGrad()
        ops.sum(ops.square(one.forward(x))).backward()
        optimizers[i].step()
      }
  }
  const meansApart = (): number => {
    const [a, b] = optimizers.map((one) => one.stateDict().state)
    return Math.max(...Object.keys(a).flatMap((i) => ['mean', 'square'].map((name) => apart(b[Number(i)][name] as Tensor, a[Number(i)][name] as Tensor))))
  }
  steps(5)
  t.true(meansApart() < 1e-5)
  optimizers = [dense, sparse].map((one, i) => {
    const fresh = make(one)
    fresh.loadStateDict(optimizers[i].stateDict())
    return fresh
  })
  steps(5)
  for (const one of [dense, sparse]) nn.setMask(one, 'weight', maskLike(one.latentWeight('weight'), 0.2, 5))
  steps(5)
  t.true(meansApart() < 1e-5)
  t.true(apart(sparse.latentWeight('weight'), dense.latentWeight('weight')) < 1e-5)
})

test('quantised layers multiply by what their masks keep: training follows, and integers are the same', (t) => {
  manualSeed(4)
  const model = new nn.Sequential(
    new qnn.QuantIdentity({ bits: 6 }),
    new qnn.QuantConv2d(3, 8, 3, { weightBits: 4 }),
    new qnn.QuantReLU({ bits: 6 }),
    new nn.Flatten(),
    new qnn.QuantLinear(8 * 36, 10, { weightBits: 4 }),
  )
  for (const i of [1, 4]) nn.setMask(layerOf(model, i), 'weight', maskLike(weightIn(model, i), 0.3, i))
  const models = twins(model, 'sparse')
  const optimizers = models.map((one) => new optim.SGD(one.parameters(), { lr: 0.01 }))
  const x = rand([8, 3, 8, 8])
  const labels = tensor(Int32Array.from({ length: 8 }, (_, i) => i))
  const losses = models.map((one, m) =>
    Array.from({ length: 20 }, () => {
      const loss = ops.crossEntropy(one.forward(x), labels)
      one.zeroGrad()
      loss.backward()
      optimizers[m].step()
      return loss.item()
    }),
  )
  t.deepEqual(runs(models[1]), ['sparse', 'sparse'])
  t.true(losses[0].every((loss, i) => Math.abs(loss - losses[1][i]) < 1e-3))
  models[1].loadStateDict(models[0].stateDict())
  const [dense, sparse] = models.map((one) => noGrad(() => one.eval().forward(x)))
  t.deepEqual(runs(models[1]), ['sparse', 'sparse'])
  t.deepEqual(sparse.data, dense.data)
  const signs = new qnn.QuantLinear(8, 4, { weightBits: 1 }).maskedKernels('sparse')
  nn.setMask(signs, 'weight', maskLike(signs.weight, 0.3, 1))
  signs.forward(rand([2, 8]))
  t.is(nn.explain(signs).layers[0].reason, 'behind its mask may change zeros: the quantiser')
})

test('what is traced is the dense network', (t) => {
  const model = new nn.Sequential(wide(), new nn.ReLU(), new nn.Linear(192, 4)).maskedKernels('sparse')
  model.forward(rand([4, 256]))
  t.deepEqual(
    graph.trace(model, { input: [256] }).nodes.map(({ op }) => op),
    ['linear', 'relu', 'linear'],
  )
})

test('wrong inputs are refused in the words of the dense product', (t) => {
  const layer = wide()
  const conv = new nn.Conv2d(4, 8, 5)
  nn.setMask(conv, 'weight', maskLike(conv.weight, 0.1, 2))
  t.throws(() => layer.forward(rand([4, 7])), { code: 'SHAPE_MISMATCH', message: /^linear: x has shape/ })
  t.throws(() => conv.forward(rand([4, 3, 9, 9])), { code: 'SHAPE_MISMATCH', message: /^conv2d: input has 3 channels/ })
  t.throws(() => conv.maskedKernels('sparse').forward(rand([4, 4, 3, 3])), { code: 'SHAPE_MISMATCH', message: /^conv2d: a kernel of 5/ })
})

test('the bits do not depend on the number of threads', (t) => {
  const before = native.threads()
  const bits = (threads: number): string => {
    native.setThreads(threads)
    manualSeed(5)
    const model = new nn.Sequential(
      new nn.Conv2d(4, 16, 3),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(16 * 100, 300),
      new nn.ReLU(),
      new nn.Linear(300, 10),
    )
    for (const i of [0, 3]) nn.setMask(layerOf(model, i), 'weight', maskLike(weightIn(model, i), 0.1, i))
    model.maskedKernels('sparse')
    const optimizer = new optim.SGD(model.parameters(), { lr: 0.01, momentum: 0.9 })
    const x = rand([32, 4, 12, 12])
    for (let step = 0; step < 3; step++) {
      model.zeroGrad()
      ops.sum(ops.square(model.forward(x))).backward()
      optimizer.step()
    }
    return Object.values(model.stateDict())
      .map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'))
      .join()
  }
  try {
    const one = bits(1)
    for (const threads of [2, 3]) t.true(bits(threads) === one)
  } finally {
    native.setThreads(before)
  }
})

test('what is prepared for a mask goes with the mask', (t) => {
  // Matrices of this process that are alive, by asking for all numbers there were.
  const alive = (): number => {
    const last = native.sparseCreate(1, 1, new Float32Array(1), null, 0, [])
    native.sparseFree(last)
    const lives = (number: number): boolean => {
      try {
        native.sparseSize(number)
        return true
      } catch {
        return false
      }
    }
    return Array.from({ length: last }, (_, i) => i + 1).filter(lives).length
  }
  const x = rand([8, 256])
  const removals: ((layer: nn.Linear) => void)[] = [
    (layer) => nn.removeMask(layer, 'weight'),
    (layer) => nn.removeMask(layer, 'weight', { keep: 'latent' }),
    (layer) => prune.remove(layer, 'weight'),
  ]
  for (const remove of removals) {
    const [dense, sparse] = twins(wide(), 'sparse')
    const before = alive()
    const losses = [dense, sparse].map((one) => ops.sum(ops.square(one.forward(x))))
    t.is(alive(), before + 1)
    for (const one of [dense, sparse]) remove(one)
    t.is(alive(), before)
    // A gradient still to come passes by the mask that was, and another mask is prepared for as ever.
    for (const loss of losses) loss.backward()
    t.true(apart(sparse.latentWeight('weight').grad as Tensor, dense.latentWeight('weight').grad as Tensor) < 1e-5)
    for (const one of [dense, sparse]) nn.setMask(one, 'weight', maskLike(one.latentWeight('weight'), 0.2, 6))
    t.true(apart(sparse.forward(x), dense.forward(x)) < 1e-5)
    t.deepEqual(runs(sparse), ['sparse'])
  }
})

test('memory stays flat over 2,000 steps with changing masks', (t) => {
  const model = new nn.Sequential(new nn.Linear(128, 128), new nn.ReLU(), new nn.Linear(128, 8)).maskedKernels('sparse')
  const layer = layerOf(model, 0)
  const masks = [1, 2, 3].map((seed) => maskLike(layer.latentWeight('weight'), 0.4, seed))
  const optimizer = new optim.SGD(model.parameters(), { lr: 1e-3, momentum: 0.9 })
  const x = rand([16, 128])
  const train = (steps: number): void => {
    for (let step = 0; step < steps; step++) {
      nn.setMask(layer, 'weight', masks[step % masks.length])
      optimizer.zeroGrad()
      ops.sum(ops.square(model.forward(x))).backward()
      optimizer.step()
      // A pass whose gradient never comes.
      if (step % 5 === 0) model.forward(x)
    }
  }
  train(300)
  const before = process.memoryUsage().rss
  train(2000)
  const grown = (process.memoryUsage().rss - before) / 2 ** 20
  // What was prepared for one mask takes a quarter of a megabyte.
  t.true(grown < 100, `${grown.toFixed(0)} MiB more`)
})
