import test from 'ava'
import { EspalierError, nn, noGrad, ones, ops, type Tensor, tensor } from '../../lib/index.js'

class Inner extends nn.Module {
  weight = new nn.Parameter(tensor([1, -2, 3]))
  bias: nn.Parameter | null = null
  declare steps: Tensor
  declare scratch: Tensor

  constructor() {
    super()
    this.registerBuffer('steps', tensor(0, { dtype: 'int32' }))
    this.registerBuffer('scratch', ones([2]), { persistent: false })
  }

  forward(x: Tensor): Tensor {
    return ops.mul(x, this.effective('weight'))
  }
}

class Outer extends nn.Module {
  readonly note = { text: 'kept' }
  readonly #hidden = new Inner()
  first = new Inner()
  scale = new nn.Parameter(tensor(2))
  blocks = [new Inner(), new Inner()]
  tied = this.blocks[0]

  forward(x: Tensor): Tensor {
    return ops.mul(this.first.forward(x), this.scale)
  }

  hidden(): nn.Module {
    return this.#hidden
  }
}

test('fields are the registry, in order of definition', (t) => {
  const net = new Outer()
  t.deepEqual(
    [...net.namedModules()].map(([name]) => name),
    ['', 'first', 'blocks.0', 'blocks.1'],
  )
  t.deepEqual(
    [...net.namedParameters()].map(([name]) => name),
    ['scale', 'first.weight', 'blocks.0.weight', 'blocks.1.weight'],
  )
  t.is(net.parameters().length, 4)
  t.deepEqual(
    [...net.namedBuffers()].map(([name]) => name),
    ['first.steps', 'first.scratch', 'blocks.0.steps', 'blocks.0.scratch', 'blocks.1.steps', 'blocks.1.scratch'],
  )
  t.deepEqual(Object.keys(net.stateDict()), [
    'scale',
    'first.weight',
    'first.steps',
    'blocks.0.weight',
    'blocks.0.steps',
    'blocks.1.weight',
    'blocks.1.steps',
    'tied.weight',
    'tied.steps',
  ])
  t.is(net.getModule('blocks.1'), net.blocks[1])
  t.throws(() => net.getModule('blocks.2'), { instanceOf: EspalierError, message: /no module "blocks.2"/ })
})

test('a private field stays private', (t) => {
  const net = new Outer()
  t.false([...net.modules()].includes(net.hidden()))
})

test('a state dict is a snapshot; loading it brings the values back', (t) => {
  const net = new Outer()
  const state = net.stateDict()
  t.is(Object.getPrototypeOf(state), null)
  net.first.weight.data.fill(9)
  net.first.steps.data[0] = 5
  t.deepEqual(state['first.weight'].toArray(), [1, -2, 3])
  t.deepEqual(net.loadStateDict(state), { missing: [], unexpected: [] })
  t.deepEqual(net.first.weight.toArray(), [1, -2, 3])
  t.is(net.first.steps.item(), 0)
  net.loadStateDict(new Map(Object.entries(state)))
})

test('loading is all or nothing, and errors name the keys', (t) => {
  const net = new Outer()
  const state = net.stateDict()
  state['first.weight'] = tensor([7, 7, 7])
  state['blocks.1.weight'] = ones([4])
  t.throws(() => net.loadStateDict(state), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH', message: /blocks\.1\.weight has shape \[4\], expected \[3\]/ })
  t.deepEqual(net.first.weight.toArray(), [1, -2, 3], 'nothing was changed')
  const { scale: _, ...rest } = net.stateDict()
  t.throws(() => net.loadStateDict({ ...rest, extra: ones([1]) }), { message: /missing: scale; unexpected: extra/ })
  t.deepEqual(net.loadStateDict({ ...rest, extra: ones([1]) }, { strict: false }), { missing: ['scale'], unexpected: ['extra'] })
  t.throws(() => net.loadStateDict({ ...net.stateDict(), scale: 3 as never }), { message: /scale is 3, expected a tensor/ })
  t.throws(() => net.loadStateDict(null as never), { code: 'INVALID_ARGUMENT' })
})

test('train and eval reach every module', (t) => {
  const net = new Outer()
  t.true([...net.modules()].every(({ training }) => training))
  t.is(net.eval(), net)
  t.true([...net.modules()].every(({ training }) => !training))
  net.train()
  t.true([...net.modules()].every(({ training }) => training))
})

test('to converts floats in place and leaves integers', (t) => {
  const net = new Outer()
  const { weight } = net.first
  net.to('float64')
  t.is(net.first.weight, weight)
  t.is(weight.dtype, 'float64')
  t.true(weight.data instanceof Float64Array)
  t.is(net.first.steps.dtype, 'int32')
  t.is(net.first.scratch.dtype, 'float64')
  t.throws(() => net.to('int32' as never), { code: 'DTYPE_MISMATCH' })
})

test('apply visits children first', (t) => {
  const seen: string[] = []
  new Outer().apply((module) => {
    seen.push(module.constructor.name)
  })
  t.is(seen.at(-1), 'Outer')
  t.is(seen[0], 'Inner')
})

test('gradients reach the parameters; zeroGrad drops them; requiresGrad freezes', (t) => {
  const net = new Outer()
  net
    .forward(ones([3]))
    .sum()
    .backward()
  t.deepEqual(net.first.weight.grad?.toArray(), [2, 2, 2])
  t.is(net.scale.grad?.item(), 2)
  net.zeroGrad()
  t.is(net.scale.grad, null)
  net.requiresGrad(false)
  t.false(net.forward(ones([3])).requiresGrad)
})

test('hooks run around forward, may replace what passes, and can be removed', (t) => {
  const net = new Outer()
  const calls: string[] = []
  const before = net.first.registerForwardPreHook((module, [x]) => {
    calls.push(`pre ${module === net.first}`)
    return [ops.mul(x, 10)]
  })
  const after = net.first.registerForwardHook((_, inputs, output) => {
    calls.push(`post ${inputs[0].data[0]}`)
    return ops.neg(output)
  })
  t.deepEqual(net.forward(ones([3])).toArray(), [-20, 40, -60])
  t.deepEqual(calls, ['pre true', 'post 10'])
  t.deepEqual(
    net
      .clone()
      .forward(ones([3]))
      .toArray(),
    [-20, 40, -60],
    'a copy keeps its hooks',
  )
  before.remove()
  after.remove()
  after.remove()
  t.deepEqual(net.forward(ones([3])).toArray(), [2, -4, 6])
  t.throws(() => net.registerForwardHook(3 as never), { instanceOf: EspalierError })
})

test('a clone shares nothing that is learned, and keeps what was one object one', (t) => {
  const net = new Outer()
  const copy = net.first.clone()
  t.not(copy.weight, net.first.weight)
  t.true(copy.weight instanceof nn.Parameter)
  t.true(copy.weight.requiresGrad)
  net.first.weight.data[0] = 100
  net.first.steps.data[0] = 7
  t.deepEqual(copy.weight.toArray(), [1, -2, 3])
  t.is(copy.steps.item(), 0)
  t.deepEqual(Object.keys(copy.stateDict()), ['weight', 'steps'])
  const list = new nn.ModuleList([net.blocks[0], net.tied])
  const copied = list.clone()
  t.is(copied.at(0), copied.at(1))
  t.not(copied.at(0), net.tied)
})

test('a clone does not carry history or gradients', (t) => {
  const inner = new Inner()
  inner
    .forward(ones([3]))
    .sum()
    .backward()
  t.is(inner.clone().weight.grad, null)
})

test('registration at run time', (t) => {
  const inner = new Inner()
  inner.registerParameter('extra', new nn.Parameter(ones([1])))
  t.deepEqual(
    [...inner.ownParameters()].map(([name]) => name),
    ['weight', 'extra'],
  )
  inner.unregister('extra')
  t.is(inner.parameters().length, 1)
  for (const name of ['', 'a.b', '__proto__', 3 as never]) t.throws(() => inner.registerParameter(name, null), { code: 'INVALID_ARGUMENT' })
  t.throws(() => inner.registerParameter('weight', ones([1]) as never), { message: /expected a Parameter/ })
  t.throws(() => inner.registerBuffer('b', 3 as never), { message: /expected a tensor/ })
})

test('prints as PyTorch does', (t) => {
  const net = new nn.Sequential({ conv: new nn.Conv2d(1, 8, 3, { stride: 2 }), act: new nn.ReLU(), inner: new nn.Sequential(new nn.Linear(2, 3)) })
  t.is(
    String(net),
    `Sequential(
  (conv): Conv2d(1, 8, [3, 3], stride: 2)
  (act): ReLU()
  (inner): Sequential(
    (0): Linear(2, 3, bias: true)
  )
)`,
  )
})

test('transforms stand in the order of their stages and see the weight on the tape', (t) => {
  const inner = new Inner()
  const times = (factor: number, stage: number): nn.WeightTransform => ({ kind: `times ${factor}`, stage, apply: (weight) => ops.mul(weight, factor) })
  const plus = (term: number, stage: number): nn.WeightTransform => ({ kind: `plus ${term}`, stage, apply: (weight) => ops.add(weight, term) })
  const late = inner.addTransform('weight', times(10, nn.stages.quantiser))
  const early = plus(1, nn.stages.mask)
  inner.addTransform('weight', early)
  t.deepEqual(
    inner.weightTransforms('weight').map(({ kind }) => kind),
    ['plus 1', 'times 10'],
  )
  t.deepEqual(inner.effective('weight').toArray(), [20, -10, 40])
  inner.weight.data[0] = 2
  t.deepEqual(inner.effective('weight').toArray(), [30, -10, 40], 'nothing stale')
  inner
    .forward(ones([3]))
    .sum()
    .backward()
  t.deepEqual(inner.weight.grad?.toArray(), [10, 10, 10])
  t.false(noGrad(() => inner.effective('weight')).requiresGrad)
  late.remove()
  t.deepEqual(inner.effective('weight').toArray(), [3, -1, 4])
  t.throws(() => inner.addTransform('weight', early), { code: 'STATE' })
  inner.removeTransform('weight', early)
  t.is(inner.effective('weight'), inner.weight)
  t.throws(() => inner.addTransform('nothing', early), { code: 'INVALID_ARGUMENT' })
})
