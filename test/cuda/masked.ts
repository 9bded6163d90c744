// Masked layers on the sparse kernels of the device, beside dense ones there and on the CPU.
import { cuda, kernels, manualSeed, nn, noGrad, ops, optim, qnn, rand, scope, type Tensor, tensor } from '../../lib/index.js'
import { Pattern } from '../../lib/kernels/pattern.js'
import { type DeviceArray, native } from '../../lib/native/index.js'
import { check, close, refused, require } from './harness.js'
import { deviceOf, maskBy, masks, pass, randomMask, rules, stepped, tells, triplets, watched } from './layers.js'

check('a masked linear layer by its kept weights: any mask, rule and shape', () => {
  const shapes: [rows: number, columns: number, x: number[]][] = [
    [33, 67, [19, 67]],
    [64, 130, [64, 130]],
    [1, 1, [1, 1]],
    [20, 40, [3, 5, 40]],
    [12, 300, [300]],
  ]
  for (const [name, keeps] of Object.entries(masks))
    for (const [rule, gradient] of Object.entries(rules))
      for (const [i, [rows, columns, shape]] of shapes.entries()) {
        manualSeed(i)
        const layer = new nn.Linear(columns, rows, { bias: i % 2 === 0 })
        nn.setMask(layer, 'weight', maskBy([rows, columns], keeps), { gradient })
        const x = rand(shape)
        const [here, dense, sparse] = triplets(layer).map((one) => pass(one, x))
        for (const [what, expected] of Object.entries(here)) {
          close(sparse[what], expected, 1e-5, `${name}, ${rule}, [${rows}, ${columns}]: ${what}`, 1e-3)
          close(dense[what], expected, 1e-5, `${name}, ${rule}, [${rows}, ${columns}]: ${what}, dense`, 1e-3)
        }
      }
  const [, , sparse] = triplets(new nn.Linear(8, 4))
  nn.setMask(sparse, 'weight', randomMask([4, 8], 0.5, 1))
  sparse.forward(rand([3, 8]).to('cuda'))
  const [{ runs, reason, kernel, weightGradient, density }] = nn.explain(sparse).layers
  require(runs === 'sparse' && reason === 'asked for' && kernel === 'elements' && weightGradient === 'kept' && density !== undefined, 'told')
})

const optimizers: Record<string, (params: Tensor[]) => { step(): void; zeroGrad(): void }> = {
  'SGD with momentum and decay': (params) => new optim.SGD(params, { lr: 0.02, momentum: 0.9, weightDecay: 1e-3 }),
  Adam: (params) => new optim.Adam(params, { lr: 0.002, eps: 1e-4 }),
}
for (const [optimizer, make] of Object.entries(optimizers))
  for (const [rule, gradient] of Object.entries(rules))
    check(`trained on kept weights, masks changed on the way: ${optimizer}, ${rule}`, () => {
      manualSeed(7)
      const model = new nn.Sequential(new nn.Linear(40, 64), new nn.Tanh(), new nn.Linear(64, 48), new nn.ReLU(), new nn.Linear(48, 5))
      const models = triplets(model)
      const [x, labels] = [rand([16, 40]), tensor(Int32Array.from({ length: 16 }, (_, i) => i % 5))]
      const losses = models.map((one) => {
        const update = make(one.parameters())
        return Array.from({ length: 24 }, (_, step) => {
          for (const i of [0, 2]) {
            const layer = one.at(i) as nn.Linear
            const { shape } = layer.latentWeight('weight')
            if (step % 8 === 0) nn.setMask(layer, 'weight', randomMask(shape, 0.4 - step / 80, step + i), { gradient })
            if (step === 12) {
              // Written over in its place.
              const state = layer.stateDict()
              state.weight_mask = randomMask(shape, 0.3, step + i)
              layer.loadStateDict(state)
            }
          }
          return stepped(one, update, x, labels)
        })
      })
      close(tensor(losses[2]), tensor(losses[1]), 1e-4, 'losses, dense there')
      close(tensor(losses[2]), tensor(losses[0]), 1e-4, 'losses, dense here')
      const state = models[0].stateDict()
      for (const [name, value] of Object.entries(models[2].stateDict())) close(value, state[name], 2e-3, name)
      for (const i of [0, 1]) {
        require(nn.explain(models[2]).layers[i].weightGradient === (rule === 'masked' ? 'kept' : 'all'), 'the gradient that the rule wants')
        tells(models[2], 'sparse: asked for', i)
        tells(models[1], 'dense: asked for', i)
      }
    })

check('a mask that nobody touched is not looked at again, nor fetched', () => {
  const layer = new nn.Linear(96, 64).to('cuda').maskedKernels('sparse')
  nn.setMask(layer, 'weight', randomMask([64, 96], 0.2, 3))
  const x = rand([8, 96]).to('cuda')
  watched(['download', 'countOnes', 'sparseCount', 'sparsePattern'], (called) => {
    const looks = (): string => {
      const looked = called()
      layer.zeroGrad()
      return looked
    }
    const step = (): void => ops.sum(ops.square(layer.forward(x))).backward()
    nn.maskOf(layer, 'weight')?.to('cpu')
    require(looks() === 'download', 'a transfer is seen')
    step()
    require(looks() === 'countOnes,sparsePattern', 'it is counted and prepared for once')
    step()
    noGrad(() => layer.forward(x))
    require(looks() === '', 'and no more')
    // Another tensor of the same values is compared, one of other values is another mask.
    nn.setMask(layer, 'weight', (nn.maskOf(layer, 'weight') as Tensor).copy())
    step()
    require(looks() === 'sparseCount', 'the same mask again')
    step()
    require(looks() === '', 'known')
    nn.setMask(layer, 'weight', randomMask([64, 96], 0.2, 4))
    step()
    require(looks() === 'countOnes,sparseCount,sparsePattern', 'another mask')
    // Whoever shares its elements might write to them.
    ;(nn.maskOf(layer, 'weight') as Tensor).detach()
    step()
    require(looks() === 'sparseCount', 'compared, in each pass')
    // Values of all kinds are told from zeros and ones once.
    nn.setMask(layer, 'weight', rand([64, 96]))
    step()
    require(looks() === 'countOnes,sparseCount', 'soft values')
    step()
    require(looks() === '', 'known to be soft')
    tells(layer, 'dense: the mask holds values other than 0 and 1')
  })
})

check('gradients that are still to come when their mask goes, scopes, and a move', () => {
  manualSeed(5)
  const layer = new nn.Linear(40, 24)
  nn.setMask(layer, 'weight', randomMask([24, 40], 0.3, 1))
  const models = triplets(layer)
  const x = rand([8, 40])
  const gradients = models.map((one) => {
    const input = x.to(deviceOf(one))
    const loss = (): Tensor => ops.sum(ops.square(one.forward(input)))
    const [first, second] = [loss(), loss()]
    first.backward()
    nn.setMask(one, 'weight', randomMask([24, 40], 0.2, 2))
    const third = scope(loss)
    second.backward(undefined, { retainGraph: true })
    second.backward()
    nn.removeMask(one, 'weight', { keep: 'latent' })
    third.backward()
    nn.setMask(one, 'weight', randomMask([24, 40], 0.25, 3))
    scope(() => {
      loss().backward()
    })
    loss().backward()
    return one.latentWeight('weight').grad as Tensor
  })
  close(gradients[1], gradients[0], 1e-5, 'dense')
  close(gradients[2], gradients[0], 1e-5, 'sparse')
  const [here, , there] = models
  const same = (): void =>
    close(
      noGrad(() => there.forward(x.to(deviceOf(there)))),
      noGrad(() => here.forward(x)),
      1e-5,
      `on ${deviceOf(there)}`,
    )
  for (const device of ['cpu', 'cuda', 'cpu'] as const) {
    there.to(device)
    same()
    tells(there, 'sparse: asked for')
    there.loadStateDict({ ...there.stateDict(), weight_mask: randomMask([24, 40], 0.5, 6) })
    here.loadStateDict({ ...here.stateDict(), weight_mask: randomMask([24, 40], 0.5, 6) })
    same()
  }
})

check('a mask written to between two moves is seen in the next pass', () => {
  const layer = new nn.Linear(40, 24)
  nn.setMask(layer, 'weight', randomMask([24, 40], 0.3, 1))
  const models = triplets(layer)
  const x = rand([8, 40])
  const outputs = (): Tensor[] => models.map((one) => noGrad(() => one.forward(x.to(deviceOf(one)))))
  outputs()
  for (const one of models) {
    const device = deviceOf(one)
    one.to('cpu')
    ;(nn.maskOf(one, 'weight') as Tensor).data.fill(1, 0, 300)
    one.to(device)
  }
  const [here, dense, sparse] = outputs()
  close(dense, here, 1e-5, 'dense')
  close(sparse, here, 1e-5, 'sparse')
  tells(models[2], 'sparse: asked for')
})

check('quantised linear layers multiply by what their masks keep', () => {
  manualSeed(4)
  const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 6 }), new qnn.QuantLinear(70, 30, { weightBits: 4 }), new nn.Tanh(), new nn.Linear(30, 4))
  nn.setMask(model.at(1) as nn.Linear, 'weight', randomMask([30, 70], 0.3, 1))
  const models = triplets(model).slice(1)
  const [x, labels] = [rand([8, 70]).to('cuda'), tensor(Int32Array.from({ length: 8 }, (_, i) => i % 4)).to('cuda')]
  const losses = models.map((one) => {
    const optimizer = new optim.SGD(one.parameters(), { lr: 0.01 })
    return Array.from({ length: 8 }, () => {
      optimizer.zeroGrad()
      const loss = ops.crossEntropy(one.forward(x), labels)
      loss.backward()
      optimizer.step()
      return loss.item()
    })
  })
  close(tensor(losses[1][0]), tensor(losses[0][0]), 1e-5, 'the first loss')
  // (A weight on the edge between two codes may fall to either side.)
  close(tensor(losses[1]), tensor(losses[0]), 2e-2, 'losses')
  tells(models[1], 'sparse: asked for')
  require(nn.explain(models[1]).layers[0].weightGradient === 'all', 'the whole gradient')
  models[1].loadStateDict(models[0].stateDict())
  const [dense, sparse] = models.map((one) => noGrad(() => one.eval().forward(x)))
  close(sparse, dense, 1e-5, 'evaluated')
  tells(models[1], 'sparse: asked for')
})

check('by itself a layer takes the sparse kernels of the device where they are expected to be the faster', () => {
  const size = 2560
  const x = rand([1, size]).to('cuda')
  const drawn = (density: number): Tensor => ops.sign(ops.relu(rand([size, size]).to('cuda').neg().add(density)))
  const wide = (density: number): nn.Linear => {
    const layer = new nn.Linear(size, size).to('cuda')
    nn.setMask(layer, 'weight', drawn(density))
    return layer
  }
  const layer = wide(0.02)
  const y = layer.forward(x)
  tells(layer, /^sparse: [\d.]+ times as fast$/)
  close(
    y,
    noGrad(() => layer.maskedKernels('dense').forward(x)),
    1e-5,
    'output',
  )
  tells(layer, 'dense: asked for')
  layer.maskedKernels('auto')
  cuda.setPrecision('tf32')
  try {
    layer.forward(x)
    tells(layer, 'dense: no figures compare sparse products with dense ones rounded to tf32')
  } finally {
    cuda.setPrecision('float32')
  }
  // Masks drawn anew in each pass are not prepared for until one lasts.
  for (let change = 0; change < 3; change++) {
    nn.setMask(layer, 'weight', drawn(0.02))
    layer.forward(x)
  }
  tells(layer, /^dense: masks change too often: one must last \d+ passes/)
  for (let again = 0; again < 60; again++) layer.forward(x).dispose()
  tells(layer, /^sparse: [\d.]+ times as fast$/)
  const dense = wide(0.22)
  dense.forward(x)
  tells(dense, /^dense: (sparse kernels are hardly faster|the dense product is the faster) for this batch$/)
  nn.setMask(dense, 'weight', drawn(0.3))
  dense.forward(x)
  tells(dense, 'dense: it keeps more than 25%')
})

check('what has no sparse kernels on the device says so, and what is wrong is refused in the words of the dense product', () => {
  const layer = new nn.Linear(24, 16).to('cuda')
  nn.setMask(layer, 'weight', randomMask([16, 24], 0.2, 1))
  layer.forward(rand([4, 24]).to('cuda'))
  tells(layer, 'dense: so small a product has nothing to gain')
  layer.maskedKernels('sparse')
  refused('DEVICE_MISMATCH', () => layer.forward(rand([4, 24])))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([4, 23]).to('cuda')))
  layer.forward(rand([0, 24]).to('cuda'))
  tells(layer, 'dense: there is nothing to multiply')
  layer.to('float64').forward(rand([4, 24]).to('cuda').to('float64'))
  tells(layer, 'dense: on a GPU masked layers and sparse convolutions have sparse kernels for float32 alone')
})

check('masked_linear refuses what is no matrix, a weight of another shape and a pattern elsewhere', () => {
  const mask = randomMask([6, 8], 0.5, 1)
  const there = mask.to('cuda')
  const pattern = new Pattern(there.storage as DeviceArray, 6, 8, native.countOnes(there.storage))
  const matrix = new kernels.SparseMatrix(mask.data as Float32Array, 6, 8)
  const [x, weight] = [rand([3, 8]), rand([6, 8])]
  const [xThere, weightThere] = [x.to('cuda'), weight.to('cuda')]
  const y = ops.maskedLinear(x, weight, matrix)
  for (const one of [matrix, pattern]) {
    close(ops.maskedLinear(xThere, weightThere, one), y, 1e-5, 'output')
    refused('SHAPE_MISMATCH', () => ops.maskedLinear(xThere, weightThere.reshape([8, 6]), one))
    refused('SHAPE_MISMATCH', () => ops.maskedLinear(xThere, weightThere.reshape([-1]), one))
    refused('DTYPE_MISMATCH', () => ops.maskedLinear(xThere, weightThere.to('float64'), one))
    refused('INVALID_ARGUMENT', () => ops.maskedLinear(xThere, null as never, one))
  }
  for (const one of [null, {}]) refused('INVALID_ARGUMENT', () => ops.maskedLinear(xThere, weightThere, one as never))
  refused('DEVICE_MISMATCH', () => ops.maskedLinear(x, weight, pattern))
  refused('DEVICE_MISMATCH', () => ops.maskedLinear(xThere, weight, matrix))
})
