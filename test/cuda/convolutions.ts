// Sparse convolutions, and layers that hold their kept weights alone: on the device, beside the CPU.
import { cuda, kernels, manualSeed, nn, noGrad, ops, optim, prune, qnn, rand, type Tensor, tensor } from '../../lib/index.js'
import type { ConvSteps } from '../../lib/kernels/convGeometry.js'
import { Pattern } from '../../lib/kernels/pattern.js'
import { type DeviceArray, native } from '../../lib/native/index.js'
import { check, close, refused, require } from './harness.js'
import { deviceOf, maskBy, masks, pass, randomMask, rules, stepped, tells, triplets, watched } from './layers.js'

/** The convolution of a mask [out, in / groups, kh, kw] of zeros and ones. */
function convolutionOf(mask: Tensor, groups = 1): kernels.SparseConv2d {
  const [outChannels, seen, height, width] = mask.shape
  const kept = mask.data as Float32Array
  return new kernels.SparseConv2d(kept, seen * groups, outChannels, [height, width], { mask: kept, groups })
}

/** The same as the device reads it. */
function patternOf(mask: Tensor, groups = 1): Pattern {
  const { storage, size, shape } = mask.to('cuda')
  const [rows, , height, width] = shape
  return new Pattern(storage as DeviceArray, rows, size / rows, native.countOnes(storage), 0, [height, width], groups)
}

/** Output and gradients of an operation on copies of some tensors. */
function passOf(op: (...operands: Tensor[]) => Tensor, given: readonly Tensor[], device: 'cpu' | 'cuda'): Tensor[] {
  const operands = given.map((one) => tensor(one, { device }).copy())
  for (const one of operands) one.requiresGrad = true
  const y = op(...operands)
  ops.sum(ops.square(y)).backward()
  return [y, ...operands.map((one) => one.grad as Tensor)]
}

/** Both operations by a mask's pattern and by its convolution on the device, beside the CPU's. */
function checkOperations(
  of: string,
  mask: Tensor,
  shape: readonly number[],
  dtype: 'float32' | 'float64',
  withBias: boolean,
  steps: ConvSteps = {},
  groups = 1,
): void {
  const tolerance = dtype === 'float32' ? 1e-5 : 1e-12
  const [convolution, pattern] = [convolutionOf(mask, groups), patternOf(mask, groups)]
  const [x, values, weight, bias] = [shape, [pattern.count], mask.shape, [mask.shape[0]]].map((one) => rand(one, { dtype }))
  const given = withBias ? [bias] : []
  const sparse = (by: kernels.SparseConv2d | Pattern) => (input: Tensor, kept: Tensor, plus?: Tensor) => ops.sparseConv2d(input, kept, by, plus ?? null, steps)
  const expected = passOf(sparse(convolution), [x, values, ...given], 'cpu')
  for (const by of [pattern, convolution])
    for (const [j, found] of passOf(sparse(by), [x, values, ...given], 'cuda').entries()) close(found, expected[j], tolerance, `${of}: ${j}`, 1e-2)
  for (const ofKept of [true, false]) {
    const masked = (by: kernels.SparseConv2d | Pattern) => (input: Tensor, all: Tensor, plus?: Tensor) =>
      ops.maskedConv2d(input, all, by, plus ?? null, steps, ofKept)
    const wanted = passOf(masked(convolution), [x, weight, ...given], 'cpu')
    for (const by of [pattern, convolution])
      for (const [j, found] of passOf(masked(by), [x, weight, ...given], 'cuda').entries())
        close(found, wanted[j], tolerance, `masked, ${of}, ${ofKept}: ${j}`, 1e-2)
  }
}

check('sparse_conv2d and masked_conv2d of 1×1 by a pattern: any mask, batch and type', () => {
  const shapes: [out: number, x: number[]][] = [
    [33, [3, 17, 5, 4]],
    [8, [1, 30, 7, 3]],
    [1, [4, 9, 2, 2]],
    [6, [5, 1, 3, 3]],
    [1, [1, 1, 1, 1]],
    [5, [0, 6, 4, 4]],
    [7, [2, 12, 1, 9]],
  ]
  for (const [name, keeps] of Object.entries(masks))
    for (const [i, [rows, shape]] of shapes.entries())
      for (const dtype of ['float32', 'float64'] as const) {
        manualSeed(i)
        const mask = maskBy([rows, shape[1], 1, 1], keeps)
        for (const withBias of [true, false]) checkOperations(`${name}, ${dtype}, [${shape}] to ${rows}, ${withBias}`, mask, shape, dtype, withBias)
      }
})

check('sparse_conv2d and masked_conv2d of larger kernels, in steps and of groups by a pattern: any mask and type', () => {
  const geometries: [weight: number[], x: number[], ConvSteps, groups: number][] = [
    [[33, 7, 3, 3], [2, 7, 9, 8], { padding: 1 }, 1],
    [[6, 4, 2, 3], [3, 4, 7, 9], { padding: 'same' }, 1],
    [[8, 3, 3, 2], [2, 6, 8, 7], { stride: 2, padding: [1, 0] }, 2],
    [[4, 5, 3, 3], [1, 5, 12, 11], { stride: [2, 3], dilation: [2, 1], padding: 2 }, 1],
    [[5, 6, 1, 1], [2, 6, 5, 5], { stride: 2 }, 1],
    [[6, 1, 3, 3], [2, 6, 4, 4], {}, 6],
    [[3, 2, 1, 9], [2, 2, 1, 20], { padding: [0, 4] }, 1],
    [[3, 2, 3, 3], [0, 2, 5, 5], {}, 1],
  ]
  for (const [name, keeps] of Object.entries(masks))
    for (const [i, [weight, shape, steps, groups]] of geometries.entries())
      for (const dtype of ['float32', 'float64'] as const) {
        manualSeed(i)
        checkOperations(`${name}, ${dtype}, [${shape}] by [${weight}]`, maskBy(weight, keeps), shape, dtype, i % 2 === 0, steps, groups)
      }
})

check('sparse_conv2d and masked_conv2d refuse a pattern elsewhere, and a weight of another shape', () => {
  for (const side of [1, 3]) {
    const mask = randomMask([6, 8, side, side], 0.5, 1)
    const [convolution, pattern] = [convolutionOf(mask), patternOf(mask)]
    const [x, values, weight] = [rand([3, 8, 4, 4]), rand([pattern.count]), rand(mask.shape)]
    const [xThere, valuesThere, weightThere] = [x, values, weight].map((one) => one.to('cuda'))
    refused('DEVICE_MISMATCH', () => ops.sparseConv2d(x, values, pattern, null))
    refused('DEVICE_MISMATCH', () => ops.maskedConv2d(x, weight, pattern, null))
    refused('SHAPE_MISMATCH', () => ops.sparseConv2d(xThere, valuesThere.to('cpu').reshape([-1, 1]).to('cuda'), pattern, null))
    refused('SHAPE_MISMATCH', () => ops.sparseConv2d(rand([3, 7, 4, 4]).to('cuda'), valuesThere, pattern, null))
    for (const one of [convolution, pattern]) {
      refused('SHAPE_MISMATCH', () => ops.maskedConv2d(xThere, weightThere.reshape([8, 6, side, side]), one, null))
      refused('SHAPE_MISMATCH', () => ops.maskedConv2d(xThere, weightThere.reshape([6, 8 * side * side]), one, null))
      refused('DTYPE_MISMATCH', () => ops.maskedConv2d(xThere, weightThere.to('float64'), one, null))
      refused('INVALID_ARGUMENT', () => ops.maskedConv2d(xThere, null as never, one, null))
    }
    for (const one of [null, {}]) refused('INVALID_ARGUMENT', () => ops.maskedConv2d(xThere, weightThere, one as never, null))
  }
})

check('a masked convolution by its kept weights: any mask and rule', () => {
  const layers: [layer: nn.Module, x: number[]][] = [
    [new nn.Conv2d(20, 33, 1), [3, 20, 5, 4]],
    [new nn.Conv2d(9, 6, [1, 1], { bias: false, padding: 'same', dilation: 2 }), [1, 9, 8, 8]],
    [new nn.Conv1d(12, 7, 1), [4, 12, 9]],
    [new nn.Conv2d(5, 9, 3, { padding: 1 }), [2, 5, 6, 7]],
    [new nn.Conv2d(6, 8, [3, 2], { stride: 2, padding: [1, 0], groups: 2, bias: false }), [3, 6, 7, 8]],
    [new nn.Conv1d(4, 6, 5, { padding: 'same', dilation: 2 }), [3, 4, 11]],
    [new nn.Conv1d(4, 6, 3, { stride: 3, groups: 2 }), [2, 4, 10]],
  ]
  for (const [name, keeps] of Object.entries(masks))
    for (const [rule, gradient] of Object.entries(rules))
      for (const [layer, shape] of layers) {
        nn.setMask(layer, 'weight', maskBy(layer.latentWeight('weight').shape, keeps), { gradient })
        const x = rand(shape)
        const models = triplets(layer)
        const [here, dense, sparse] = models.map((one) => pass(one, x))
        const what = `${layer.constructor.name}, ${name}, ${rule}`
        for (const [of, expected] of Object.entries(here)) {
          close(sparse[of], expected, 1e-5, `${what}: ${of}`, 1e-3)
          close(dense[of], expected, 1e-5, `${what}: ${of}, dense`, 1e-3)
        }
        const [{ runs, reason, kernel, weightGradient }] = nn.explain(models[2]).layers
        require(runs === 'sparse' && reason === 'asked for' && kernel === 'elements', `${what}: ${runs}, ${reason}, ${kernel}`)
        require(weightGradient === (rule === 'masked' ? 'kept' : 'all'), `${what}: the gradient that the rule wants`)
      }
})

check('what is no product of pixels is sparse when asked alone, and says so', () => {
  const reason = "sparse kernels of convolutions were never timed on a GPU, but for 1×1, stride 1, no padding, one group: maskedKernels('sparse') asks for them"
  for (const layer of [
    new nn.Conv2d(4, 8, 3),
    new nn.Conv2d(4, 8, [1, 2]),
    new nn.Conv2d(4, 8, 1, { stride: 2 }),
    new nn.Conv2d(4, 8, 1, { padding: [0, 1] }),
    new nn.Conv2d(4, 8, 1, { groups: 2 }),
  ]) {
    nn.setMask(layer, 'weight', randomMask(layer.weight.shape, 0.04, 1))
    for (const one of [layer, nn.SparseConv2d.from(layer)]) {
      const x = rand([2, 4, 6, 6])
      const [here, , sparse] = triplets<nn.Module>(one)
      const byItself = one.clone().to('cuda').maskedKernels('auto')
      const expected = pass(here, x)
      for (const model of [byItself, sparse]) {
        const found = pass(model, x)
        for (const [of, value] of Object.entries(expected)) close(found[of], value, 1e-5, `${one}: ${of}`, 1e-3)
      }
      tells(byItself, `dense: ${reason}`)
      tells(sparse, 'sparse: asked for')
      const [told] = nn.explain(sparse).layers
      require(told.kernel === 'elements' && told.weightGradient === 'kept', `${told.kernel}, ${told.weightGradient}`)
      require(told.dense === undefined && told.sparse === undefined, 'nothing is expected of it')
    }
  }
})

check('networks of masked convolutions train as the dense ones do, masks changed on the way', () => {
  for (const [rule, gradient] of Object.entries(rules)) {
    manualSeed(7)
    const model = new nn.Sequential(
      new nn.Conv2d(3, 16, 3, { padding: 1 }),
      new nn.Tanh(),
      new nn.Conv2d(16, 24, 1),
      new nn.Tanh(),
      new nn.Conv2d(24, 8, 1, { bias: false }),
      new nn.Flatten(),
      new nn.Linear(8 * 16, 4),
    )
    const models = triplets(model)
    const [x, labels] = [rand([8, 3, 4, 4]), tensor(Int32Array.from({ length: 8 }, (_, i) => i % 4))]
    const losses = models.map((one) => {
      const update = new optim.SGD(one.parameters(), { lr: 0.02, momentum: 0.9, weightDecay: 1e-3 })
      return Array.from({ length: 16 }, (_, step) => {
        if (step % 6 === 0)
          for (const i of [0, 2, 4]) {
            const layer = one.at(i) as nn.Conv2d
            nn.setMask(layer, 'weight', randomMask(layer.latentWeight('weight').shape, 0.5 - step / 60, step + i), { gradient })
          }
        const loss = ops.crossEntropy(one.forward(x.to(deviceOf(one))), labels.to(deviceOf(one)))
        update.zeroGrad()
        loss.backward()
        update.step()
        return loss.item()
      })
    })
    close(tensor(losses[2]), tensor(losses[1]), 1e-4, `${rule}: losses, dense there`)
    close(tensor(losses[2]), tensor(losses[0]), 1e-4, `${rule}: losses, dense here`)
    const state = models[0].stateDict()
    for (const [name, value] of Object.entries(models[2].stateDict())) close(value, state[name], 2e-3, `${rule}: ${name}`)
    for (const i of [0, 1, 2]) tells(models[2], 'sparse: asked for', i)
  }
})

check('quantised convolutions multiply by what their masks keep', () => {
  for (const side of [1, 3]) checkQuantised(side)
})
function checkQuantised(side: number): void {
  manualSeed(4)
  const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 6 }), new qnn.QuantConv2d(20, 12, side, { weightBits: 4 }))
  const layer = model.at(1) as nn.Conv2d
  nn.setMask(layer, 'weight', randomMask(layer.weight.shape, 0.3, 1))
  const [here, dense, sparse] = triplets(model)
  const x = rand([4, 20, 3, 3])
  const losses = [here, dense, sparse].map((one) => {
    const loss = ops.sum(ops.square(one.forward(x.to(deviceOf(one)))))
    loss.backward()
    return loss
  })
  close(losses[2], losses[1], 1e-5, 'the loss')
  close(losses[2], losses[0], 1e-5, 'the loss here')
  const gradient = (one: nn.Module): Tensor => ((one as typeof model).at(1) as nn.Module).latentWeight('weight').grad as Tensor
  close(gradient(sparse), gradient(dense), 1e-4, 'the gradient', 1e-3)
  tells(sparse, 'sparse: asked for')
  require(nn.explain(sparse).layers[0].weightGradient === 'all', 'the whole gradient')
}

const convolutions: Record<string, () => nn.Conv2d> = {
  '3×3': () => new nn.Conv2d(6, 10, 3, { padding: 1 }),
  'in steps, of groups': () => new nn.Conv2d(6, 8, [3, 2], { stride: 2, padding: [1, 0], groups: 2, bias: false }),
  '1×1': () => new nn.Conv2d(6, 9, 1),
}

check('layers of kept weights compute on the device what they do on the CPU', () => {
  for (const [name, make] of Object.entries(convolutions))
    for (const [of, keeps] of Object.entries(masks)) {
      manualSeed(3)
      const layer = make()
      nn.setMask(layer, 'weight', maskBy(layer.weight.shape, keeps))
      const models = triplets(nn.SparseConv2d.from(layer))
      const x = rand([3, 6, 7, 5])
      const [here, ...there] = models.map((one) => pass(one, x))
      for (const [what, expected] of Object.entries(here))
        for (const [i, found] of there.entries()) close(found[what], expected, 1e-5, `${name}, ${of}, ${i}: ${what}`, 1e-3)
      tells(models[1], 'dense: asked for')
      tells(models[2], 'sparse: asked for')
    }
  for (const [of, keeps] of Object.entries(masks)) {
    const layer = new nn.Linear(12, 7)
    nn.setMask(layer, 'weight', maskBy([7, 12], keeps))
    const sparse = nn.SparseLinear.from(layer)
    const x = rand([5, 12])
    const [here, there] = [sparse, sparse.clone().to('cuda')].map((one) => pass(one, x))
    for (const [what, expected] of Object.entries(here)) close(there[what], expected, 1e-5, `linear, ${of}: ${what}`, 1e-3)
  }
})

check('layers of kept weights refuse what does not fit in the words of their operation', () => {
  const layer = nn.SparseConv2d.from(new nn.Conv2d(6, 9, 1)).maskedKernels('sparse')
  const x = rand([2, 6, 3, 3])
  refused('DEVICE_MISMATCH', () => layer.forward(x.to('cuda')))
  layer.to('cuda')
  refused('DEVICE_MISMATCH', () => layer.forward(x))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([2, 5, 3, 3]).to('cuda')))
  refused('SHAPE_MISMATCH', () => layer.forward(rand([6, 3]).to('cuda')))
  refused('DTYPE_MISMATCH', () => layer.forward(x.to('float64').to('cuda')))
})

check('layers of kept weights are made, masked anew and made dense where they are, in their dtype', () => {
  for (const dtype of ['float32', 'float64'] as const)
    for (const device of ['cpu', 'cuda'] as const) {
      manualSeed(2)
      const dense = new nn.Conv2d(4, 6, 3).to(dtype).to(device)
      nn.setMask(dense, 'weight', randomMask([6, 4, 3, 3], 0.5, 1).to(dtype).to(device))
      const x = rand([2, 4, 5, 5], { dtype }).to(device)
      const [tolerance, of] = [dtype === 'float32' ? 1e-6 : 1e-14, `${dtype} on ${device}`]
      const layer = nn.SparseConv2d.from(dense)
      const lies = (one: nn.Module): boolean => one.parameters().every((parameter) => parameter.device === device && parameter.dtype === dtype)
      require(lies(layer) && lies(layer.toConv2d()), of)
      close(layer.forward(x), dense.forward(x), tolerance, `${of}: made of a masked layer`)
      close(layer.toConv2d().forward(x), dense.forward(x), tolerance, `${of}: dense again`)
      const linear = new nn.Linear(8, 3).to(dtype).to(device)
      const kept = nn.SparseLinear.from(linear)
      require(lies(kept) && lies(kept.toLinear()), `${of}: linear`)
      const rows = rand([2, 8], { dtype }).to(device)
      close(kept.forward(rows), linear.forward(rows), tolerance, `${of}: linear`)
      close(kept.toLinear().forward(rows), linear.forward(rows), tolerance, `${of}: linear, dense again`)
      layer.weight.requiresGrad = false
      // As many as before, then fewer.
      const { positions } = layer
      const others = Uint8Array.from({ length: 216 }, (_, i) => Number(!positions.data.includes(i)))
      const masksOf = [others.map((kept, i) => Number(i < 108 ? kept : !kept)), others.map((kept, i) => Number(i % 2 === 0 && kept === 0))]
      for (const mask of masksOf) {
        const before = layer.toConv2d()
        const renewed = layer.remask(mask)
        require(renewed === (layer.weight.size !== positions.size), 'a new parameter where they are not as many')
        require(lies(layer) && !layer.weight.requiresGrad, `${of}: masked anew`)
        const wanted = tensor(before.weight, { device: 'cpu' }).mul(tensor(Float64Array.from(mask), [6, 4, 3, 3], { dtype }))
        close(layer.toConv2d().weight.to('cpu'), wanted, 0, `${of}: the weights of both`)
        nn.setMask(before, 'weight', tensor(Float32Array.from(mask), [6, 4, 3, 3]).to(dtype).to(device))
        close(layer.forward(x), before.forward(x), tolerance, `${of}: after it`)
      }
    }
})

check('layers of kept weights train on the device as on the CPU, masks changed on the way', () => {
  manualSeed(9)
  const made = [new nn.Conv2d(3, 12, 3, { padding: 1 }), new nn.Conv2d(12, 10, 1)]
  for (const layer of made) prune.l1Unstructured(layer, 'weight', 0.5)
  const linear = new nn.Linear(10 * 16, 4)
  prune.l1Unstructured(linear, 'weight', 0.7)
  const [first, second] = made.map((layer) => nn.SparseConv2d.from(layer))
  const model = new nn.Sequential(first, new nn.Tanh(), second, new nn.Flatten(), nn.SparseLinear.from(linear))
  const [x, labels] = [rand([8, 3, 4, 4]), tensor(Int32Array.from({ length: 8 }, (_, i) => i % 4))]
  const models = triplets(model)
  const losses = models.map((one) =>
    [0, 1, 2].flatMap((stage) => {
      if (stage > 0)
        for (const i of [0, 2]) {
          const layer = one.at(i) as nn.SparseConv2d
          layer.remask(randomMask([layer.denseSize, 1], 0.5 - stage / 10, stage + i))
        }
      const update = new optim.SGD(one.parameters(), { lr: 0.05, momentum: 0.9 })
      return Array.from({ length: 8 }, () => stepped(one, update, x, labels))
    }),
  )
  close(tensor(losses[1]), tensor(losses[0]), 1e-4, 'losses, dense there')
  close(tensor(losses[2]), tensor(losses[0]), 1e-4, 'losses')
  const state = models[0].stateDict()
  for (const [name, value] of Object.entries(models[2].stateDict())) close(value, state[name], 2e-3, name)
  for (const i of [0, 1]) tells(models[2], 'sparse: asked for', i)
  models[2].loadStateDict(models[0].to('cpu').stateDict())
  close(
    noGrad(() => models[2].forward(x.to('cuda'))),
    noGrad(() => models[0].forward(x)),
    1e-5,
    'with the state of the other',
  )
})

const directions = ['DataGrad', 'Forward', 'WeightGrad']

check('no pass of a sparse convolution moves anything between the CPU and the device', () => {
  for (const [name, make] of Object.entries(convolutions))
    for (const wanted of ['dense', 'sparse'] as const) {
      const masked = make()
      nn.setMask(masked, 'weight', randomMask(masked.weight.shape, 0.4, 1))
      const kept = nn.SparseConv2d.from(masked)
      const x = rand([3, 6, 7, 5]).to('cuda')
      x.requiresGrad = true
      for (const layer of [masked, kept]) {
        layer.to('cuda').maskedKernels(wanted)
        // What is prepared for a mask is prepared in the first pass.
        const step = (): void => ops.sum(ops.square(layer.forward(x))).backward()
        step()
        watched(['download', 'upload', ...directions.flatMap((one) => [`sparse${one}`, `sparseConvolution${one}`, `conv2d${one}`])], (called) => {
          x.to('cpu')
          rand([3]).to('cuda')
          require(called() === 'download,upload', 'transfers are seen')
          step()
          const kind = wanted === 'dense' ? 'conv2d' : name === '1×1' ? 'sparse' : 'sparseConvolution'
          const by = directions.map((one) => `${kind}${one}`).join()
          const found = called()
          require(found === by, `${name}, ${layer.constructor.name}, ${wanted}: ${found} = ${by}`)
        })
      }
    }
})

check('by itself a convolution of 1×1 takes the sparse kernels of the device where they are expected to be the faster', () => {
  const size = 2560
  const drawn = (density: number): Tensor => ops.sign(ops.relu(rand([size, size, 1, 1]).to('cuda').neg().add(density)))
  const x = rand([1, size, 10, 10]).to('cuda')
  const masked = new nn.Conv2d(size, size, 1).to('cuda')
  nn.setMask(masked, 'weight', drawn(0.02))
  const kept = nn.SparseConv2d.from(masked)
  const dense = noGrad(() => masked.clone().maskedKernels('dense').forward(x))
  for (const layer of [masked, kept]) {
    const { name } = layer.constructor
    close(layer.forward(x), dense, 1e-5, name)
    tells(layer, /^sparse: [\d.]+ times as fast$/)
    cuda.setPrecision('tf32')
    try {
      layer.forward(x)
      tells(layer, 'dense: no figures compare sparse products with dense ones rounded to tf32')
    } finally {
      cuda.setPrecision('float32')
    }
    layer.maskedKernels('dense').forward(x)
    tells(layer, 'dense: asked for')
    layer.maskedKernels('auto').forward(x)
    tells(layer, /^sparse: [\d.]+ times as fast$/)
  }
  kept.remask(drawn(0.22))
  kept.forward(x)
  tells(kept, /^dense: (sparse kernels are hardly faster|the dense product is the faster) for this batch$/)
  kept.remask(drawn(0.3))
  kept.forward(x)
  tells(kept, 'dense: it keeps more than 25%')
  const small = nn.SparseConv2d.from(new nn.Conv2d(8, 8, 1)).to('cuda')
  small.forward(rand([1, 8, 4, 4]).to('cuda'))
  tells(small, 'dense: so small a product has nothing to gain')
  small.to('float64').forward(rand([1, 8, 4, 4], { dtype: 'float64' }).to('cuda'))
  tells(small, 'dense: on a GPU masked layers and sparse convolutions have sparse kernels for float32 alone')
  small.to('cpu').forward(rand([1, 8, 4, 4], { dtype: 'float64' }))
  tells(small, 'sparse: it holds its kept weights alone')
})
