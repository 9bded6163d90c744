// What a machine without a GPU says of one. On an emulated device test/cuda has its say (npm run test:native).
import test from 'ava'
import { cuda, devices, fit, nn, ones, scope, tensor, zeros } from '../../lib/index.js'

const missing = cuda.whyMissing()
const without = missing === null ? test.skip : test

test('the CPU is a device', (t) => {
  const [cpu] = devices()
  t.is(cpu.device, 'cpu')
  t.true(cpu.memory > 0 && cpu.units >= 1)
  t.is(ones([2]).device, 'cpu')
  const x = tensor([1, 2, 3])
  t.is(x.to('cpu').storage, x.storage)
  t.deepEqual(scope(() => x.mul(2)).toArray(), [2, 4, 6])
  x.dispose() // the CPU's memory is not anybody's to free
  t.deepEqual(x.keep().toArray(), [1, 2, 3])
})

without('one that is not there is an error that says why, and nothing has changed', async (t) => {
  t.is(devices().length, 1)
  const model = new nn.Linear(2, 2)
  const refusals = [
    () => tensor([1]).to('cuda'),
    () => zeros([2], { device: 'cuda' }),
    () => tensor([1], { device: 'cuda:3' }),
    () => model.to('cuda'),
    () => cuda.memory(),
    () => cuda.synchronize(),
    () => cuda.setPrecision('tf32'),
  ]
  for (const refused of refusals) t.throws(refused, { code: 'DEVICE_MISSING', message: /there is no device cuda/ }, String(refused))
  await t.throwsAsync(fit(model, { train: [], optimizer: { step() {}, zeroGrad() {} }, loss: model, device: 'cuda', progress: false }), {
    code: 'DEVICE_MISSING',
  })
  t.is(model.weight.device, 'cpu')
  t.true(missing!.length > 0)
})

test('names of devices are checked', (t) => {
  for (const name of ['gpu', 'cuda:', 'cuda:x', 'CUDA', null, 3])
    t.throws(() => tensor([1], { device: name as never }), { code: 'INVALID_ARGUMENT' }, String(name))
  t.throws(() => tensor([1]).to('float128' as never), { code: 'INVALID_ARGUMENT' })
})
