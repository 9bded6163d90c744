import test from 'ava'
import fc from 'fast-check'
import {
  data,
  EspalierError,
  fit,
  Generator,
  manualSeed,
  nn,
  noGrad,
  ops,
  optim,
  prune,
  qnn,
  quant,
  rand,
  randn,
  type Tensor,
  tensor,
} from '../../lib/index.js'
import { QuantTinyCNN } from '../support/quantTinyCnn.js'

// A network that runs on integers gives the forward pass's outputs, bit for bit.

/** Random factors and statistics in every batch norm, some channels of which fall. */
function upset(model: nn.Module): void {
  for (const module of model.modules())
    if (module instanceof nn.BatchNorm2d || module instanceof nn.BatchNorm1d) {
      const { size } = module.running_mean as Tensor
      ;(module.weight as Tensor).data.set(randn([size]).data as never)
      ;(module.bias as Tensor).data.set(randn([size]).data as never)
      ;(module.running_mean as Tensor).data.set(randn([size]).mul(0.3).data as never)
    }
}

/** The model after a few steps' forward passes, frozen. */
function ready(model: nn.Module, input: readonly number[]): nn.Module {
  for (let step = 0; step < 4; step++) model.forward(randn([16, ...input]))
  upset(model)
  return quant.freeze(model)
}

const sameBits = (a: Tensor, b: Tensor): boolean => a.size === b.size && a.data.every((value: number, i: number) => value === b.data[i])

const act = { bits: 4, collectSteps: 2 }

class Residual extends nn.Module {
  input = new qnn.QuantIdentity(act)
  conv1 = new qnn.QuantConv2d(2, 4, 3, { padding: 1, weightBits: 4 })
  // One quantiser for both branches: their codes share a scale.
  shared = new qnn.QuantIdentity(act)
  conv2 = new qnn.QuantConv2d(4, 4, 3, { padding: 1, weightBits: 3, perChannel: true })
  norm = new nn.BatchNorm2d(4)
  relu = new qnn.QuantReLU(act)
  conv3 = new qnn.QuantConv2d(4, 4, 1, { weightBits: 4 })
  relu2 = new qnn.QuantReLU({ bits: 3, collectSteps: 2 })
  fc = new qnn.QuantLinear(64, 3, { weightBits: 4 })

  override forward(x: Tensor): Tensor {
    const a = this.shared.forward(this.conv1.forward(this.input.forward(x)))
    const b = this.shared.forward(this.norm.forward(this.conv2.forward(a)))
    const y = this.relu.forward(ops.add(a, b))
    // A sum of codes and an accumulator, quantised once.
    const z = this.relu2.forward(ops.add(this.conv3.forward(y), y))
    return this.fc.forward(z.flatten(1))
  }
}

/** The same layer at work twice, under inputs of different widths. */
class Twice extends nn.Module {
  wide = new qnn.QuantIdentity({ bits: 6, collectSteps: 2 })
  narrow = new qnn.QuantIdentity({ bits: 2, collectSteps: 2 })
  fc = new qnn.QuantLinear(6, 6, { weightBits: 4 })

  override forward(x: Tensor): Tensor {
    return this.fc.forward(this.narrow.forward(this.fc.forward(this.wide.forward(x))))
  }
}

const networks: Record<string, { make: () => nn.Module; input: readonly number[] }> = {
  'a perceptron with float biases': {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({ ...act, signed: false }),
        new qnn.QuantLinear(12, 9, { weightBits: 4 }),
        new nn.BatchNorm1d(9),
        new qnn.QuantReLU(act),
        new qnn.QuantLinear(9, 4, { weightBits: 3, perChannel: true }),
      ),
    input: [12],
  },
  'convolutions of every geometry, batch norms and integer biases': {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity({ ...act, powerOfTwo: true }),
        new qnn.QuantConv2d(2, 6, [3, 2], { padding: [1, 0], stride: [1, 2], weightBits: 4, biasBits: 9 }),
        new nn.BatchNorm2d(6),
        new qnn.QuantReLU(act),
        new qnn.QuantConv2d(6, 4, 3, { groups: 2, dilation: 2, padding: 'same', weightBits: 4, perChannel: true, biasBits: 9 }),
        new qnn.QuantIdentity({ bits: 5, collectSteps: 2 }),
        new nn.Flatten(),
        new qnn.QuantLinear(4 * 9 * 4, 3, { weightBits: 4 }),
      ),
    input: [2, 9, 8],
  },
  'maxima of accumulators, of batch norms that fall, and of codes': {
    make: () =>
      new nn.Sequential(
        new qnn.QuantIdentity(act),
        new qnn.QuantConv2d(1, 5, 3, { weightBits: 4 }),
        new nn.MaxPool2d(2, { stride: 1 }),
        new nn.BatchNorm2d(5),
        new nn.MaxPool2d(2, { stride: 1, padding: 1 }),
        new qnn.QuantReLU(act),
        new nn.MaxPool2d(2),
        new qnn.QuantConv2d(5, 4, 2, { weightBits: 4 }),
        new nn.Flatten(),
      ),
    input: [1, 9, 9],
  },
  sequences: {
    make: () =>
      new (class extends nn.Module {
        input = new qnn.QuantIdentity(act)
        conv = new qnn.QuantConv2d(3, 5, [1, 3], { padding: [0, 1], weightBits: 4 })
        relu = new qnn.QuantReLU(act)
        fc = new qnn.QuantLinear(5 * 7, 2, { weightBits: 4 })
        override forward(x: Tensor): Tensor {
          const y = this.relu.forward(this.conv.forward(this.input.forward(x.reshape([x.shape[0], 3, 1, 7]))))
          return this.fc.forward(ops.permute(y, [0, 3, 2, 1]).reshape([x.shape[0], -1]))
        }
      })(),
    input: [3, 7],
  },
  'residual sums of codes, and of codes and accumulators': { make: () => new Residual(), input: [2, 4, 4] },
  'a layer that is used twice': { make: () => new Twice(), input: [6] },
  'scales a channel, clamps and arithmetic on the way': {
    make: () =>
      new (class extends nn.Module {
        input = new qnn.QuantIdentity(act)
        conv = new qnn.QuantConv2d(2, 3, 1, { weightBits: 4 })
        each = new qnn.QuantReLU({ ...act, channels: 3 })
        all = new qnn.QuantIdentity(act)
        next = new qnn.QuantConv2d(3, 3, 1, { weightBits: 4 })
        override forward(x: Tensor): Tensor {
          const y = this.each.forward(
            this.conv
              .forward(this.input.forward(x.mul(2)))
              .sub(1)
              .neg()
              .clamp(-0.5, 2),
          )
          return ops.softmax(this.next.forward(this.all.forward(y)).flatten(1), 1)
        }
      })(),
    input: [2, 3, 3],
  },
}

/** A network of one pool, in front of a quantiser or at the end. */
const pooled = (pool: (x: Tensor) => Tensor, features: number, options: { powerOfTwo?: boolean; ends?: boolean } = {}): nn.Module =>
  new (class extends nn.Module {
    input = new qnn.QuantIdentity({ ...act, powerOfTwo: options.powerOfTwo ?? false })
    conv = new qnn.QuantConv2d(1, 3, 3, { weightBits: 4 })
    relu = new qnn.QuantReLU({ ...act, powerOfTwo: options.powerOfTwo ?? false })
    again = new qnn.QuantIdentity({ bits: 5, collectSteps: 2 })
    fc = new qnn.QuantLinear(features, 2, { weightBits: 4 })
    override forward(x: Tensor): Tensor {
      const y = pool(this.relu.forward(this.conv.forward(this.input.forward(x))))
      return options.ends ? y.relu().flatten(1) : this.fc.forward(this.again.forward(y.mul(2)).flatten(1))
    }
  })()

Object.assign(networks, {
  'means of windows': { make: () => pooled((x) => ops.avgPool2d(x, { kernelSize: [3, 2], stride: [2, 1] }), 3 * 3 * 6), input: [1, 10, 9] },
  'means of windows, all scales powers of two': {
    make: () => pooled((x) => ops.avgPool2d(x, { kernelSize: 2 }), 3 * 4 * 3, { powerOfTwo: true }),
    input: [1, 10, 9],
  },
  'means of shared windows': { make: () => pooled((x) => ops.adaptiveAvgPool2d(x, [4, 1]), 12), input: [1, 10, 9] },
  'means of planes': { make: () => pooled((x) => x.mean({ dim: [2, -1] }), 3), input: [1, 10, 9] },
  'means at the end': { make: () => pooled((x) => x.mean({ dim: [2, 3] }), 3, { ends: true }), input: [1, 10, 9] },
})

for (const [name, { make, input }] of Object.entries(networks))
  test(`bit for bit: ${name}`, (t) => {
    for (let seed = 0; seed < 4; seed++) {
      manualSeed(seed)
      const model = ready(make(), input)
      const program = quant.integerNetwork(model, { input })
      const x = randn([300, ...input]).mul(1.5)
      const { output, integers, overflows } = program.run(x)
      const expected = noGrad(() => model.forward(x))
      t.deepEqual(output.shape, expected.shape)
      t.true(sameBits(output, expected))
      t.true(integers.every(({ dtype }) => dtype === 'int32'))
      t.deepEqual(overflows, [])
      quant.certify(program).verify()
      // Codes alone say all that the network knows of an input.
      t.true(sameBits(program.runCodes(program.quantise(x)).output, expected))
    }
  })

test('the quickstart’s network on all test images: integers give the forward pass’s bits, in registers of the certified widths too', async (t) => {
  manualSeed(1)
  const { train, test: held } = data.digits()
  const model = new QuantTinyCNN(4)
  const redraw = (): void => void prune.togglePruning(model, true, { active: 12, gradient: prune.straightThrough })
  redraw()
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
  const transform = data.scale(1 / 16)
  await fit(model, {
    train: new data.DataLoader(train, { batchSize: 64, shuffle: true, transform }),
    epochs: 8,
    optimizer,
    loss: ops.crossEntropy,
    callbacks: [{ onStepEnd: redraw }],
  })
  quant.freeze(model)
  const [images] = held.tensors
  const x = images.mul(1 / 16)
  const program = quant.integerNetwork(model, { input: x })
  const expected = noGrad(() => model.forward(x))
  t.is(x.shape[0], 450)
  t.true(sameBits(program.run(x).output, expected))

  const certificate = quant.certify(model)
  t.deepEqual(
    quant
      .certify(program)
      .toJSON()
      .layers.map((layer) => ({ ...layer })),
    certificate.toJSON().layers,
  )
  const widths = Object.fromEntries(certificate.layers.map(({ name, bits }) => [name, bits]))
  for (const order of ['given', 'random', 'worst'] as const) {
    const { output } = program.run(x, { registers: { bits: widths, overflow: 'error', order, generator: new Generator(3) } })
    t.true(sameBits(output, expected))
  }
  // Far too narrow: the outputs are others, and the run says where.
  const narrow = program.run(x, { registers: { bits: 4, overflow: 'saturate' } })
  t.false(sameBits(narrow.output, expected))
  t.is(narrow.overflows[0].layer, 'conv1')
  t.true(narrow.overflows.every(({ sums, neurons, first }) => sums > 0 && neurons > 0 && first.products >= 0))
  const error = t.throws(() => program.run(x, { registers: { bits: 4, overflow: 'error' } }), { instanceOf: EspalierError, code: 'STATE' })
  const { first } = narrow.overflows[0]
  t.is(
    error?.message,
    `conv1 neuron ${first.neuron}: the sum leaves 4 bits after ${first.products} of 9 products, at sample ${first.sample}, row ${first.place[0]}, column ${first.place[1]}`,
  )
})

/** Runs a program's JSON on one sample, by nothing but its numbers. */
function byHand({ steps, slots, output }: quant.ProgramFile, codes: ArrayLike<number>): number[][] {
  const held: number[][] = [Array.from(codes)]
  for (const step of steps) {
    const x = held[step.from]
    const [channels, height = 1, width = 1] = slots[step.to].shape
    if (step.kind === 'product') {
      const g = step.geometry
      const [seen, taps] = [g.inChannels / g.groups, g.kernelHeight * g.kernelWidth]
      held[step.to] = Array.from({ length: g.outChannels * g.outHeight * g.outWidth }, (_, at) => {
        const [o, i, j] = [Math.floor(at / (g.outHeight * g.outWidth)), Math.floor(at / g.outWidth) % g.outHeight, at % g.outWidth]
        let sum = step.bias?.[o] ?? 0
        for (let k = 0; k < seen * taps; k++) {
          const channel = Math.floor(o / (g.outChannels / g.groups)) * seen + Math.floor(k / taps)
          const row = i * g.strideHeight + Math.floor((k % taps) / g.kernelWidth) * g.dilationHeight - g.paddingTop
          const column = j * g.strideWidth + (k % g.kernelWidth) * g.dilationWidth - g.paddingLeft
          if (row >= 0 && row < g.inHeight && column >= 0 && column < g.inWidth)
            sum += step.weights[o * seen * taps + k] * x[(channel * g.inHeight + row) * g.inWidth + column]
        }
        return sum
      })
    } else if (step.kind === 'codes') {
      const each = step.edges.length / step.channels / step.rows
      held[step.to] = x.map((value, at) => {
        const channel = Math.floor(at / step.inner)
        const row = step.second === null ? 0 : held[step.second][at] - step.rowFrom
        const own = step.edges.slice((channel * step.rows + row) * each, (channel * step.rows + row + 1) * each)
        return step.base + own.filter((edge) => edge <= value * step.sign[channel]).length
      })
    } else if (step.kind === 'sum') held[step.to] = x.map((value, at) => value + held[step.second][at])
    else {
      const [{ kernelSize, stride, padding }] = step.options as [{ kernelSize: [number, number]; stride: number | [number, number]; padding: number }]
      const [down, right] = typeof stride === 'number' ? [stride, stride] : stride
      const [, inHeight, inWidth] = slots[step.from].shape
      held[step.to] = Array.from({ length: channels * height * width }, (_, at) => {
        const [channel, i, j] = [Math.floor(at / (height * width)), Math.floor(at / width) % height, at % width]
        const sign = step.sign?.[channel] ?? 1
        let most = Number.NEGATIVE_INFINITY
        for (let p = 0; p < kernelSize[0]; p++)
          for (let q = 0; q < kernelSize[1]; q++) {
            const [row, column] = [i * down + p - padding, j * right + q - padding]
            if (row >= 0 && row < inHeight && column >= 0 && column < inWidth) most = Math.max(most, sign * x[(channel * inHeight + row) * inWidth + column])
          }
        return sign * most
      })
    }
    const { min, max } = slots[step.to]
    if (held[step.to].some((value) => value < min || value > max)) throw new Error(`slot ${step.to} leaves ${min}…${max}`)
  }
  return output.map((slot) => held[slot])
}

for (const name of [
  'convolutions of every geometry, batch norms and integer biases',
  'maxima of accumulators, of batch norms that fall, and of codes',
  'residual sums of codes, and of codes and accumulators',
  'means of windows',
])
  test(`a program’s JSON is all that it takes to run it elsewhere: ${name}`, (t) => {
    manualSeed(7)
    const { make, input } = networks[name]
    const program = quant.integerNetwork(ready(make(), input), { input })
    const file = JSON.parse(JSON.stringify(program)) as quant.ProgramFile
    const codes = program.quantise(randn([5, ...input]))
    const { integers } = program.runCodes(codes)
    const each = codes.size / 5
    for (let sample = 0; sample < 5; sample++)
      for (const [i, values] of byHand(file, codes.data.subarray(sample * each, (sample + 1) * each)).entries())
        t.deepEqual(values, Array.from(integers[i].data.subarray(sample * values.length, (sample + 1) * values.length)))
  })

test('requantisation is a staircase: at every integer of the register its code is that of the forward pass', (t) => {
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), (seed, perChannel) => {
      manualSeed(seed)
      const model = ready(
        new nn.Sequential(
          new qnn.QuantIdentity(act),
          new qnn.QuantLinear(5, 3, { weightBits: 4, perChannel }),
          new nn.BatchNorm1d(3),
          new qnn.QuantReLU({ bits: 3, collectSteps: 2 }),
          new qnn.QuantLinear(3, 2, { weightBits: 4 }),
        ),
        [5],
      )
      const program = quant.integerNetwork(model, { input: [5] })
      const [product, codes] = program.steps as [quant.ProductStep, quant.CodesStep]
      const { table } = codes
      const { sign, edges, base, steps, channels } = table
      t.is(steps, 7)
      // Sums of all sizes, reached by weights set for it: here the values themselves go through the layers behind.
      const [layer, norm, relu] = [1, 2, 3].map((i) => (model as nn.Sequential).at(i) as nn.Module)
      const unit = (layer.effective('weight').quantisation as NonNullable<Tensor['quantisation']>).scale
      const input = ((layer as qnn.QuantLinear).inputQuantisation as NonNullable<Tensor['quantisation']>).scale
      const { min, max } = quant.certify(program).layers[0]
      for (let sum = min; sum <= max; sum++) {
        const sums = tensor(new Float32Array(3).fill(sum), [1, 3])
        const scaled = ops.add(ops.mul(sums, ops.mul(input, unit.size === 1 ? unit.reshape([]) : unit.reshape([3]))), layer.effective('bias'))
        const y = noGrad(() => relu.forward(norm.forward(scaled)))
        for (let channel = 0; channel < channels; channel++) {
          const expected = Math.round(y.data[channel] / (y.quantisation as NonNullable<Tensor['quantisation']>).scale.data[0])
          const own = edges.subarray(channel * steps, (channel + 1) * steps)
          t.is(base + own.filter((edge) => edge <= sum * sign[channel]).length, expected)
        }
      }
      t.is(product.to, codes.from)
    }),
    { numRuns: 15 },
  )
})

test('a layer used twice is certified for each use, by the program; the model knows the last one alone', (t) => {
  manualSeed(2)
  const model = ready(new Twice(), [6])
  const certificate = quant.certify(quant.integerNetwork(model, { input: [6] }))
  t.deepEqual(
    certificate.layers.map(({ name, input, inputFrom }) => [name, input.max, inputFrom]),
    [
      ['fc', 31, 'clamp of wide'],
      ['fc (2)', 1, 'clamp of narrow'],
    ],
  )
  t.is(quant.certify(model).layers.length, 1)
})

test('a frozen layer gives the same bits whether or not gradients are recorded', (t) => {
  const model = ready(new nn.Sequential(new qnn.QuantIdentity(act), new qnn.QuantLinear(6, 3, { weightBits: 4 })), [6])
  const x = randn([20, 6])
  t.true(
    sameBits(
      model.forward(x),
      noGrad(() => model.forward(x)),
    ),
  )
})

test('sums beyond 2^24 are exact in evaluation', (t) => {
  const layer = new qnn.QuantLinear(2000, 2, { weightBits: 8, bias: false })
  const model = new nn.Sequential(new qnn.QuantIdentity({ bits: 8, signed: false, threshold: 255 }), layer)
  layer.weight.data.fill(127)
  model.forward(rand([1, 2000]))
  quant.freeze(model)
  const codes = Int32Array.from({ length: 2000 }, (_, i) => 200 + ((i * 7) % 56))
  const x = tensor(Float32Array.from(codes), [1, 2000])
  const sum = codes.reduce((total, code) => total + 127 * code, 0)
  t.true(sum > 2 ** 24)
  t.is(model.forward(x).data[0], Math.fround(sum))
  t.true(sameBits(quant.integerNetwork(model, { input: x }).run(x).output, model.forward(x)))
})

test('orders and tiles: a seed fixes them, a tile of its own width overflows by itself', (t) => {
  const model = ready(new nn.Sequential({ input: new qnn.QuantIdentity(act), fc: new qnn.QuantLinear(40, 8, { weightBits: 4 }) }), [40])
  const program = quant.integerNetwork(model, { input: [40] })
  const x = randn([30, 40])
  const run = (registers: NonNullable<quant.RunOptions['registers']>): quant.IntegerRun => program.run(x, { registers })
  const random = (seed: number): Tensor => run({ bits: 6, overflow: 'saturate', order: 'random', generator: new Generator(seed) }).integers[0]
  t.true(sameBits(random(5), random(5)))
  t.false(sameBits(random(5), random(6)))
  // Wrapped sums do not know the order.
  const wrapped = (order: 'given' | 'random' | 'worst'): Tensor => run({ bits: 6, overflow: 'wrap', order }).integers[0]
  t.true(sameBits(wrapped('given'), wrapped('random')) && sameBits(wrapped('given'), wrapped('worst')))
  t.deepEqual(run({ bits: 32, overflow: 'error', tile: { size: 4, bits: 32 } }).overflows, [])
  t.throws(() => run({ bits: 32, overflow: 'error', tile: { size: 4, bits: 4 } }), {
    instanceOf: EspalierError,
    message: /32 bits, or its tile 4, after \d+ of 40/,
  })
  // The worst order is worse than others.
  const lost = (order: 'given' | 'worst'): number => run({ bits: 8, overflow: 'saturate', order }).overflows.reduce((sum, { sums }) => sum + sums, 0)
  t.true(lost('worst') >= lost('given'))
})

test('what has no integer form is named', (t) => {
  const refuse = (model: nn.Module, input: readonly number[], message: RegExp, freeze = true): void => {
    model.forward(randn([4, ...input]))
    t.throws(() => quant.integerNetwork(freeze ? quant.freeze(model) : model, { input }), { instanceOf: EspalierError, message })
  }
  const fc = (): qnn.QuantLinear => new qnn.QuantLinear(4, 4, { weightBits: 4 })
  refuse(new nn.Sequential(new qnn.QuantIdentity(act), fc()), [4], /the model is in training mode; freeze/, false)
  refuse(new nn.Sequential(new qnn.QuantIdentity(act), fc(), new nn.Sigmoid(), new qnn.QuantReLU(act), fc()), [4], /sigmoid is not known to be monotone/)
  refuse(new nn.Sequential(new qnn.QuantIdentity(act), fc(), new nn.Linear(4, 4), new qnn.QuantReLU(act), fc()), [4], /linear is not known to be monotone/)
  refuse(new nn.Sequential(new nn.Linear(4, 4), new qnn.QuantIdentity(act), fc(), fc()), [4], /QuantLinear: its input is not quantised/)
  const added = new (class extends nn.Module {
    input = new qnn.QuantIdentity(act)
    a = new qnn.QuantLinear(200, 4, { weightBits: 8 })
    b = new qnn.QuantLinear(200, 4, { weightBits: 8 })
    relu = new qnn.QuantReLU(act)
    c = fc()
    override forward(x: Tensor): Tensor {
      const y = this.input.forward(x)
      return this.c.forward(this.relu.forward(ops.add(this.a.forward(y), this.b.forward(y))))
    }
  })()
  refuse(added, [200], /two accumulators meet before they are quantised/)
  const detached = new (class extends nn.Module {
    input = new qnn.QuantIdentity(act)
    a = fc()
    b = new qnn.QuantReLU(act)
    c = fc()
    override forward(x: Tensor): Tensor {
      const y = this.a.forward(this.input.forward(x))
      return this.c.forward(this.b.forward(y.add(y.data[0])))
    }
  })()
  refuse(detached, [4], /computed from the input by other ways than operations/)
  refuse(
    pooled((x) => ops.avgPool2d(x, { kernelSize: 3, padding: 1 }), 3 * 3 * 3),
    [1, 9, 9],
    /avg_pool2d is not known to be monotone/,
  )
  // A mean that ends half-way between two codes, in units that floats do not hold.
  const torn = pooled((x) => ops.avgPool2d(x, { kernelSize: 2 }), 3 * 3 * 3) as nn.Module & Record<'relu' | 'again', qnn.QuantReLU>
  torn.relu = new qnn.QuantReLU({ bits: 4, threshold: 1.5 })
  torn.again = new qnn.QuantReLU({ bits: 4, threshold: 3 })
  refuse(torn, [1, 8, 8], /a sum or mean of codes lies on the edge of code \d+ where its integer is \d+/)

  const program = quant.integerNetwork(ready(new nn.Sequential(new qnn.QuantIdentity(act), fc()), [4]), { input: [4] })
  for (const input of [undefined, 'x', 5, [-1], [1.5]])
    t.throws(() => quant.integerNetwork(ready(new nn.Sequential(new qnn.QuantIdentity(act), fc()), [4]), { input: input as never }), {
      instanceOf: EspalierError,
    })
  t.throws(() => program.run(randn([2, 5])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  t.throws(() => program.runCodes(tensor(Int32Array.of(0, 0, 8, 0), [1, 4])), {
    instanceOf: EspalierError,
    message: /codes\[2\] is 8, expected a whole number from -8 to 7/,
  })
  t.throws(() => program.run(randn([2, 4]), { registers: { bits: { other: 8 }, overflow: 'wrap' } }), { instanceOf: EspalierError, message: /no layer other/ })
  for (const registers of [
    { bits: 1, overflow: 'wrap' },
    { bits: 8, overflow: 'burst' },
    { bits: 8, overflow: 'wrap', order: 'any' },
    { bits: 8, overflow: 'wrap', tile: { size: 0, bits: 8 } },
  ])
    t.throws(() => program.run(randn([2, 4]), { registers: registers as never }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  t.deepEqual(program.run(randn([0, 4])).output.shape, [0, 4])
})
