// Tensors on the device: where they are made, how they move, what is refused, when their memory is free again.
import { arange, cuda, devices, full, Generator, nn, noGrad, ones, ops, rand, scope, type Tensor, tensor, zeros } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { hostValues } from '../../lib/tensor/index.js'
import { check, close, emulated, refused, require } from './harness.js'

const values = [-2.5, -1, -0.125, 0, 0.3, 1, 7, 100]

check('devices are listed', () => {
  const [cpu, gpu] = devices()
  require(cpu.device === 'cpu' && gpu.device === 'cuda' && gpu.memory > 0, 'the CPU first, then a GPU with memory')
  require(cuda.whyMissing() === null, 'no reason why one is missing')
})

check('values move there and back in every dtype', () => {
  for (const dtype of ['float32', 'float64', 'int32', 'int16', 'int8'] as const) {
    const x = tensor(values, { dtype })
    const there = x.to('cuda')
    require(there.device === 'cuda' && there.dtype === dtype, 'device and dtype')
    close(there.to('cpu'), x, 0, dtype)
  }
  close(tensor([], [0]).to('cuda').to('cpu'), tensor([], [0]), 0, 'no elements')
})

check('16-bit floats round to nearest even', () => {
  const x = tensor([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 65504, 0.1, -3.3], { device: 'cuda' })
  close(x.to('bfloat16').to('float32'), tensor([1, 1, 1.015625, 65536, 0.10009765625, -3.296875]), 0, 'bfloat16')
  close(x.to('float16').to('float32'), tensor([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 65504, 0.0999755859375, -3.30078125]), 0, 'float16')
  require(String(tensor([1, 0.1], { device: 'cuda', dtype: 'bfloat16' })) === String(tensor([1, 0.10009765625])), 'printing')
  refused('DTYPE_MISMATCH', () => x.to('bfloat16').to('cpu').data)
})

check('makers make there', () => {
  for (const dtype of ['float32', 'float64', 'int32', 'uint8'] as const) {
    close(full([3, 2], 7, { dtype, device: 'cuda' }), full([3, 2], 7, { dtype }), 0, `full ${dtype}`)
    close(zeros([5], { dtype, device: 'cuda' }), zeros([5], { dtype }), 0, `zeros ${dtype}`)
  }
  close(arange(9, { device: 'cuda' }), arange(9), 0, 'arange')
  close(full([4], -0.5, { device: 'cuda' }), full([4], -0.5), 0, 'a negative value')
})

check('the same seed draws the same numbers', () => {
  const [here, there] = [new Generator(5), new Generator(5)]
  const x = zeros([1000], { device: 'cuda' })
  close(there.fillUniform(x, { min: -1, max: 3 }), here.uniform([1000], { min: -1, max: 3 }), 1e-6, 'uniform')
  close(there.fillNormal(x), here.normal([1000]), 1e-5, 'normal')
  require(here.state.counter === there.state.counter, 'both drew as many')
  const [a, b] = ['cpu' as const, 'cuda' as const].map((device) => ops.dropout(ones([777], { device }), { generator: new Generator(2) }))
  close(b, a, 1e-6, 'dropout')
})

check('operands on two devices are refused', () => {
  const [here, there] = [rand([3, 3]), rand([3, 3]).to('cuda')]
  refused('DEVICE_MISMATCH', () => here.add(there))
  refused('DEVICE_MISMATCH', () => there.matmul(here))
  refused('DEVICE_MISMATCH', () => ops.batchNorm(there, null, null, { runningMean: zeros([3]), runningVar: ones([3]) }))
  refused('STATE', () => there.data)
  refused('INVALID_ARGUMENT', () => here.to('gpu' as never))
  refused('DEVICE_MISSING', () => here.to('cuda:99'))
})

check('kernels check lengths and types there too', () => {
  const [x, y, whole] = [zeros([4], { device: 'cuda' }), zeros([5], { device: 'cuda' }), zeros([4], { device: 'cuda', dtype: 'int32' })]
  refused('SHAPE_MISMATCH', () => native.binaryForward(0, x.storage, y.storage, x.storage))
  refused('DTYPE_MISMATCH', () => native.binaryForward(0, x.storage, whole.storage, x.storage))
  refused('INVALID_ARGUMENT', () => native.unaryForward(99 as never, 0, 0, x.storage, x.storage))
  refused('INVALID_ARGUMENT', () => native.pruneSmallest([x.storage], [], 1, 5, [x.storage]))
  close(x, zeros([4]), 0, 'nothing has changed')
})

check('gradients cross between devices', () => {
  const x = tensor([1, 2, 3], { requiresGrad: true })
  x.to('cuda').square().sum().to('cpu').backward()
  close(x.grad as Tensor, tensor([2, 4, 6]), 0, 'gradient')
  require(x.grad?.device === 'cpu', 'it is where x is')
})

check('reading, printing, copying', () => {
  const x = tensor(
    [
      [1, 2],
      [3, 4.5],
    ],
    { device: 'cuda' },
  )
  require(String(x) === String(x.to('cpu')) && JSON.stringify(x.toArray()) === '[[1,2],[3,4.5]]' && x.sum().item() === 10.5, 'the values')
  const copy = x.copy()
  x.dispose()
  close(
    copy,
    tensor([
      [1, 2],
      [3, 4.5],
    ]),
    0,
    'a copy has storage of its own',
  )
  refused('STATE', () => x.add(1))
  refused('STATE', () => x.toArray())
})

check('memory is free when it is disposed of, when a scope ends, when garbage is collected', () => {
  cuda.emptyCache()
  const before = cuda.memory().used
  const x = zeros([1 << 20], { device: 'cuda' })
  require(cuda.memory().used - before >= 4 << 20, 'memory is counted')
  x.dispose()
  require(cuda.memory().used === before, 'disposed of')
  {
    using y = zeros([1 << 20], { device: 'cuda' })
    require(y.size === 1 << 20, 'a tensor')
  }
  require(cuda.memory().used === before, 'used up')
  const kept = scope(() => {
    const a = zeros([1 << 20], { device: 'cuda' })
    return { sum: [a.add(1).mul(2).add(3)] }
  })
  require(cuda.memory().used - before < 6 << 20, 'a scope leaves what it returns')
  close(kept.sum[0].slice({ end: 2 }), tensor([5, 5]), 0, 'which is whole')
  kept.sum[0].dispose()
  // Far more than the device has, in a loop that never yields.
  const rounds = Math.min(4000, Math.ceil((2 * devices()[1].memory) / (64 << 20)))
  for (let i = 0; i < rounds; i++) zeros([16 << 20], { device: 'cuda' })
  cuda.emptyCache()
  require(cuda.memory().used - before < 1 << 20, 'garbage is freed without a turn of the event loop')
})

check('parameters, buffers and gradients outlive a scope', () => {
  const model = new nn.Sequential(new nn.Linear(4, 3), new nn.BatchNorm1d(3))
  scope(() => {
    model.to('cuda')
    model
      .forward(rand([5, 4]).to('cuda'))
      .square()
      .sum()
      .backward()
  })
  for (const parameter of model.parameters()) require(Number.isFinite(parameter.sum().item()) && Number.isFinite(parameter.grad?.sum().item() ?? NaN), 'values')
  require(Number.isFinite(
    noGrad(() =>
      model
        .eval()
        .forward(rand([5, 4]).to('cuda'))
        .sum()
        .item(),
    ),
  ), 'a forward pass')
})

check('too much memory is an error with figures', () => {
  try {
    zeros([2 ** 42], { device: 'cuda' })
  } catch (error) {
    const [, asked, free] = /(\d+) bytes asked for\b.*?(\d+) free/.exec((error as Error).message) ?? []
    const { memory } = devices()[1]
    require((error as { code: string }).code === 'OUT_OF_MEMORY', `code ${(error as { code: string }).code}`)
    require(Number(asked) === 4 * 2 ** 42 && Number(free) > 0 && Number(free) <= memory, `a message with figures: ${error}`)
    close(ones([3], { device: 'cuda' }), ones([3]), 0, 'what follows')
    return
  }
  throw new Error('32 TiB were given')
})

check('products in 16 bits', () => {
  if (emulated()) return
  const [x, w, b] = [rand([33, 70]), rand([40, 70]), rand([40])].map((t) => t.sub(0.5))
  const expected = ops.linear(x, w, b)
  for (const dtype of ['float16', 'bfloat16'] as const) {
    const [x16, w16, b16] = [x, w, b].map((t) => t.to('cuda').to(dtype))
    close(ops.linear(x16, w16, b16).to('float32'), expected, dtype === 'float16' ? 2e-3 : 2e-2, `linear in ${dtype}`)
  }
  const [image, kernel] = [rand([2, 16, 9, 9]).sub(0.5), rand([24, 16, 3, 3]).sub(0.5)]
  const there = ops.conv2d(image.to('cuda').to('bfloat16'), kernel.to('cuda').to('bfloat16'), null, { padding: 1 })
  close(there.to('float32'), ops.conv2d(image, kernel, null, { padding: 1 }), 2e-2, 'conv2d in bfloat16')
})

check('what the data causes is an error of the next wait', () => {
  if (emulated()) return
  const rows = ops.embedding(rand([4, 3]).to('cuda'), tensor(new Int32Array([0, 9])).to('cuda'))
  refused('INVALID_ARGUMENT', () => hostValues(rows.storage))
})
