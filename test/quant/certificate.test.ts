import test from 'ava'
import fc from 'fast-check'
import { EspalierError, manualSeed, nn, noGrad, qnn, quant, randn, tensor } from '../../lib/index.js'

// What a certificate says holds for every input of every layer, is reached, and is no unit and no bit too large.

interface Setting {
  method: 'none' | 'fan-in' | 'budget' | 'a2q' | 'a2q+'
  kind: 'linear' | 'conv' | 'grouped'
  accumulatorBits: number
  weightBits: number
  bits: number
  signed: boolean
  biasBits: number | undefined
  seed: number
}

const setting: fc.Arbitrary<Setting> = fc.record({
  method: fc.constantFrom('none', 'fan-in', 'budget', 'a2q', 'a2q+'),
  kind: fc.constantFrom('linear', 'conv', 'grouped'),
  accumulatorBits: fc.integer({ min: 8, max: 12 }),
  weightBits: fc.integer({ min: 2, max: 6 }),
  bits: fc.integer({ min: 2, max: 4 }),
  signed: fc.boolean(),
  biasBits: fc.constantFrom(undefined, 4),
  seed: fc.nat(),
})

/** A quantiser and one layer with weights of some size, as a program; and into how many groups its channels fall. */
function layerOf(
  { method, kind, accumulatorBits, weightBits, bits, signed, biasBits, seed }: Setting,
  size: number,
): { program: quant.IntegerProgram; groups: number } {
  manualSeed(seed)
  const options = { weightBits, biasBits, ...(method === 'none' || method === 'fan-in' ? {} : { accumulatorBits, accumulator: method }) }
  const groups = kind === 'grouped' ? 2 : 1
  const layer = kind === 'linear' ? new qnn.QuantLinear(12, 4, options) : new qnn.QuantConv2d(4, 4, [2, 2], { ...options, groups })
  const model = new nn.Sequential({ input: new qnn.QuantIdentity({ bits, signed, collectSteps: 1 }), layer })
  const input = kind === 'linear' ? [12] : [4, 2, 2]
  noGrad(() => model.forward(randn([8, ...input])))
  layer.weight.data.set(randn(layer.weight.shape).mul(size).data as never)
  if (method === 'fan-in') {
    const codes = {
      weight: quant.integerRange({ bits: weightBits, signed: true, narrow: true }),
      input: quant.integerRange({ bits, signed }),
      bias: biasBits === undefined ? 0 : 8,
    }
    const fits = quant.fanInWidth(1, codes) <= accumulatorBits ? quant.safeFanIn(accumulatorBits, codes) : 0
    nn.setMask(layer, 'weight', nn.fanInMask(layer.weight, Math.min(fits, layer.weight.size / 4)))
  }
  return { program: quant.integerNetwork(quant.freeze(model), { input }), groups }
}

/** Inputs of one neuron, put where the layer takes them from: other channels see zeros. */
function placed(program: quant.IntegerProgram, groups: number, neuron: number, codes: ArrayLike<number>): Int32Array {
  const all = new Int32Array(program.input.reduce((size, dimension) => size * dimension, 1))
  all.set(Array.from(codes), Math.floor(neuron / (4 / groups)) * codes.length)
  return all
}

test('a layer of any kind stays within its certificate under random inputs, and its witnesses reach both ends exactly', (t) => {
  fc.assert(
    fc.property(setting, fc.double({ min: 0.01, max: 20, noNaN: true }), fc.infiniteStream(fc.nat()), (options, size, random) => {
      const { program, groups } = layerOf(options, size)
      const certificate = quant.certify(program)
      certificate.verify()
      if (options.method !== 'none') certificate.verify({ bits: options.accumulatorBits })
      const [layer] = certificate.layers
      const { min, max } = layer.input
      const each = program.input.reduce((total, dimension) => total * dimension, 1)
      const inputs = Int32Array.from({ length: 10 * each }, () => min + ((random.next().value as number) % (max - min + 1)))
      program.runCodes(tensor(inputs, [10, ...program.input])).integers[0].data.forEach((sum: number, i: number) => {
        const bound = layer.neurons[i % 4]
        t.true(sum >= bound.min && sum <= bound.max)
      })
      for (const [neuron, bound] of layer.neurons.entries())
        for (const end of ['min', 'max'] as const) {
          const codes = tensor(placed(program, groups, neuron, certificate.witness(layer.name, neuron, end)), [1, ...program.input])
          const { integers } = program.runCodes(codes)
          t.is(integers[0].data[neuron], bound[end])
        }
    }),
    { numRuns: 80 },
  )
})

test('in registers of the certified width nothing overflows, in any order and in tiles; in one bit less the witness does', (t) => {
  fc.assert(
    fc.property(setting, fc.double({ min: 0.01, max: 20, noNaN: true }), (options, size) => {
      const { program, groups } = layerOf(options, size)
      const certificate = quant.certify(program)
      const [layer] = certificate.layers
      for (const [neuron, bound] of layer.neurons.entries()) {
        if (bound.bits < 3) continue
        // The end that the register of one bit less lacks.
        const end = bound.max > 2 ** (bound.bits - 2) - 1 ? 'max' : 'min'
        const witness = certificate.witness(layer.name, neuron, end)
        const [row, bias] = [layer.weights[neuron], layer.bias?.[neuron]]
        // (A tile starts at 0: where the bias has the other sign its own sum may reach further than the whole.)
        for (const order of ['given', 'random', 'worst'] as const)
          for (const tile of [undefined, { size: 3, bits: bound.bits + 1 }])
            t.deepEqual(quant.sumInRegister(row, witness, { bits: bound.bits, overflow: 'error', order, tile, bias }), { sum: bound[end], overflowAfter: null })
        const codes = tensor(placed(program, groups, neuron, witness), [1, ...program.input])
        const narrow = { [layer.name]: bound.bits - 1 }
        for (const order of ['given', 'random', 'worst'] as const) {
          for (const overflow of ['wrap', 'saturate'] as const) {
            const { integers, overflows } = program.runCodes(codes, { registers: { bits: narrow, overflow, order } })
            t.not(integers[0].data[neuron], bound[end])
            t.is(overflows[0].layer, layer.name)
          }
          const error = t.throws(() => program.runCodes(codes, { registers: { bits: narrow, overflow: 'error', order } }), {
            instanceOf: EspalierError,
            code: 'STATE',
          })
          // Another neuron may overflow first.
          const named = Number(/^layer neuron (\d): the sum leaves \d+ bits/.exec(error?.message ?? '')?.[1])
          t.true(named <= neuron)
        }
        t.throws(() => certificate.verify({ bits: bound.bits - 1 }), { instanceOf: EspalierError, message: new RegExp(`${certificate.bits} bits would do$`) })
      }
    }),
    { numRuns: 30 },
  )
})

test('weights that use a sign’s whole budget fit their register, and one unit more overflows it', (t) => {
  fc.assert(
    fc.property(fc.integer({ min: 4, max: 15 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 6 }), (accumulatorBits, bits, places) => {
      const input = quant.integerRange({ bits, signed: false })
      fc.pre(2 ** (accumulatorBits - 1) > input.max)
      const { positive, negative } = quant.signBudgets({ accumulatorBits, input })
      const spread = (sum: number, extra: number): number[] =>
        Array.from({ length: places }, (_, i) => Math.floor(sum / places) + (i < sum % places ? 1 : 0) + (i === 0 ? extra : 0))
      const x = new Array<number>(places).fill(input.max)
      const options = { bits: accumulatorBits, overflow: 'error', order: 'worst' } as const
      for (const [sum, sign] of [
        [positive, 1],
        [negative, -1],
      ]) {
        t.notThrows(() =>
          quant.sumInRegister(
            spread(sum, 0).map((w) => w * sign),
            x,
            options,
          ),
        )
        t.throws(
          () =>
            quant.sumInRegister(
              spread(sum, 1).map((w) => w * sign),
              x,
              options,
            ),
          { instanceOf: EspalierError, code: 'STATE' },
        )
      }
    }),
  )
  t.pass()
})

test('of a tiny layer all inputs and all orders are tried: nothing leaves the certificate, and both ends occur', (t) => {
  for (const signed of [false, true]) {
    const { program } = layerOf({ method: 'none', kind: 'linear', accumulatorBits: 8, weightBits: 3, bits: 2, signed, biasBits: 4, seed: 1 }, 1)
    const [{ weights, bias, input }] = quant.certify(program).layers
    const orders = [
      [0, 1, 2],
      [0, 2, 1],
      [1, 0, 2],
      [1, 2, 0],
      [2, 0, 1],
      [2, 1, 0],
    ]
    for (const [neuron, row] of weights.entries()) {
      const three = Array.from(row).slice(0, 3)
      const bound = quant.accumulatorBound(three, input, bias?.[neuron])
      let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
      const count = input.max - input.min + 1
      for (let which = 0; which < count ** 3; which++) {
        const x = [0, 1, 2].map((i) => input.min + (Math.floor(which / count ** i) % count))
        for (const order of orders) {
          let sum = bias?.[neuron] ?? 0
          ;[low, high] = [Math.min(low, sum), Math.max(high, sum)]
          for (const i of order) {
            sum += three[i] * x[i]
            ;[low, high] = [Math.min(low, sum), Math.max(high, sum)]
          }
          const options = { bits: Math.max(2, bound.bits), overflow: 'error', bias: bias?.[neuron] } as const
          t.is(
            quant.sumInRegister(
              order.map((i) => three[i]),
              order.map((i) => x[i]),
              options,
            ).sum,
            sum,
          )
        }
      }
      t.deepEqual([low, high], [bound.min, bound.max])
    }
  }
})

test('inputs that cannot be 0: partial sums lie outside of all complete ones, and the bound holds them', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 1, maxLength: 4 }),
      fc.integer({ min: -6, max: 6 }),
      fc.integer({ min: 0, max: 2 }),
      fc.integer({ min: -9, max: 9 }),
      (weights, min, span, bias) => {
        const input = { min, max: min + span }
        // Every partial sum: of each subset, each input.
        let [low, high] = [bias, bias]
        const sums = (i: number, sum: number): void => {
          ;[low, high] = [Math.min(low, sum), Math.max(high, sum)]
          if (i === weights.length) return
          sums(i + 1, sum)
          for (let x = input.min; x <= input.max; x++) sums(i + 1, sum + weights[i] * x)
        }
        sums(0, bias)
        const bound = quant.accumulatorBound(weights, input, bias)
        t.deepEqual([low, high], [bound.min, bound.max])
        const complete = quant.completeBound(weights, input, bias)
        t.true(complete.min >= bound.min && complete.max <= bound.max)
        // As its own witness says: the products of one sign first.
        const statement = { name: 'fc', input, inputFrom: 'a sensor', weights: [weights], bias: [bias], neurons: [bound] }
        const certificate = new quant.Certificate([statement])
        certificate.verify({ bits: bound.bits })
        for (const end of ['min', 'max'] as const) {
          const products = Array.from(certificate.witness('fc', 0, end), (x, i) => x * weights[i])
          const first = products.filter((product) => product > 0 === (end === 'max') && product !== 0)
          t.is(
            first.reduce((sum, product) => sum + product, bias),
            bound[end],
          )
        }
      },
    ),
  )
})

test('Concrete ML’s Ω of P = 7, w = a = 2, unsigned, is 14; a neuron of 14 inputs is shown to overflow 7 bits', (t) => {
  const layer = new qnn.QuantLinear(14, 2, { weightBits: 2, weightNarrow: false, bias: false })
  const model = new nn.Sequential({ input: new qnn.QuantIdentity({ bits: 2, signed: false, collectSteps: 1 }), fc: layer })
  layer.weight.data.fill(-1, 14)
  layer.weight.data.fill(0.4, 0, 14)
  model.forward(randn([4, 14]))
  const program = quant.integerNetwork(quant.freeze(model), { input: [14] })
  const certificate = quant.certify(program)
  t.is(quant.layerCap({ accumulatorBits: 7, weightBits: 2, inputBits: 2 }), 14)
  t.deepEqual(certificate.layers[0].neurons[1], { min: -84, max: 0, bits: 8 })
  certificate.verify({ bits: 8 })
  t.throws(() => certificate.verify({ bits: 7 }), { instanceOf: EspalierError, message: 'fc neuron 1: -84…0 exceeds 7 bits (-64…63) by 20; 8 bits would do' })
  const codes = tensor(certificate.witness('fc', 1, 'min'), [1, 14])
  const sums = (overflow: quant.OverflowRule): number => program.runCodes(codes, { registers: { bits: 7, overflow } }).integers[0].data[1]
  t.is(sums('saturate'), -64)
  t.is(sums('wrap'), 44)
  t.throws(() => sums('error'), {
    instanceOf: EspalierError,
    message: 'fc neuron 1: the sum leaves 7 bits after 11 of 14 products, at sample 0, row 0, column 0',
  })
})

const sample = (): quant.Certificate =>
  quant.certify(layerOf({ method: 'budget', kind: 'conv', accumulatorBits: 9, weightBits: 4, bits: 3, signed: true, biasBits: 4, seed: 2 }, 3).program)

test('a certificate goes through JSON unchanged, and is verified there without the model', (t) => {
  const certificate = sample()
  const text = JSON.stringify(certificate)
  const back = quant.Certificate.fromJSON(text)
  t.is(JSON.stringify(back), text)
  t.deepEqual(quant.Certificate.fromJSON(JSON.parse(text)).toJSON(), certificate.toJSON())
  back.verify({ bits: 9 })
  t.is(String(back), String(certificate))
  t.deepEqual(back.witness('layer', 2, 'min'), certificate.witness('layer', 2, 'min'))
  t.regex(text, /"from":"clamp of input"/)
})

test('whatever is changed in a saved certificate is refused, by name, or contradicts the rest', (t) => {
  const text = JSON.stringify(sample())
  type Editable = { version: unknown; format: unknown; layers: Record<string, unknown>[] }
  const edited = (edit: (file: Editable, layer: Record<string, unknown>) => void): string => {
    const file = JSON.parse(text) as Editable
    edit(file, file.layers[0])
    return JSON.stringify(file)
  }
  const refused: Record<string, (file: Editable, layer: Record<string, unknown>) => void> = {
    format: (file) => (file.format = 'other'),
    version: (file) => (file.version = 2),
    layers: (file) => (file.layers = []),
    'layers\\[0\\]': (file) => (file.layers[0] = [] as never),
    named: (file, layer) => file.layers.push(layer),
    'layers\\[0\\]\\.name': (_, layer) => (layer.name = '\u001b[2J'),
    'layers\\[0\\]\\.input': (_, layer) => (layer.input = null),
    'layers\\[0\\]\\.input is 3…-4': (_, layer) => (layer.input = { min: 3, max: -4, from: 'x' }),
    'layers\\[0\\]\\.weights\\[1\\]\\[0\\]': (_, layer) => ((layer.weights as number[][])[1][0] = 0.5),
    'layers\\[0\\]\\.weights\\[2\\]': (_, layer) => (layer.weights as number[][])[2].pop(),
    'layers\\[0\\]\\.bias': (_, layer) => (layer.bias as number[]).pop(),
    'layers\\[0\\]\\.max': (_, layer) => (layer.max = '63'),
    'layers\\[0\\]\\.bits\\[3\\]': (_, layer) => ((layer.bits as unknown[])[3] = null),
  }
  for (const [name, edit] of Object.entries(refused))
    t.throws(() => quant.Certificate.fromJSON(edited(edit)), { instanceOf: EspalierError, code: 'FORMAT', message: new RegExp(name) }, name)
  for (const edit of [
    (layer: Record<string, unknown>) => (layer.max as number[])[1]--,
    (layer: Record<string, unknown>) => (layer.min as number[])[1]++,
    (layer: Record<string, unknown>) => (layer.bits as number[])[0]--,
    (layer: Record<string, unknown>) => (layer.weights as number[][])[0][0]++,
    (layer: Record<string, unknown>) => (layer.bias as number[])[3]++,
    (layer: Record<string, unknown>) => (layer.input as { max: number }).max++,
    // Sums that floating point could not tell apart.
    (layer: Record<string, unknown>) => ((layer.input as { max: number }).max = 2 ** 52),
  ]) {
    const forged = quant.Certificate.fromJSON(edited((_, layer) => edit(layer)))
    t.throws(() => forged.verify(), { instanceOf: EspalierError, code: 'STATE', message: /^layer neuron \d: / })
  }
})

test('a certificate that was cut or garbled is an error and nothing worse', (t) => {
  const text = JSON.stringify(sample())
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.string({ maxLength: 3 }), (at, put) => {
      try {
        quant.Certificate.fromJSON(text.slice(0, at) + put + text.slice(at + put.length + 1)).verify()
      } catch (error) {
        if (!(error instanceof EspalierError)) throw error
      }
    }),
  )
  fc.assert(
    fc.property(fc.anything(), (value) => {
      t.throws(() => quant.Certificate.fromJSON(value), { instanceOf: EspalierError, code: 'FORMAT' })
    }),
  )
})

test('a certificate names what it is asked for and does not have', (t) => {
  const certificate = sample()
  t.throws(() => certificate.verify({ bits: 0 }), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  t.throws(() => certificate.verify({ bits: { other: 9 } }), { instanceOf: EspalierError, message: /no layer other/ })
  t.throws(() => certificate.verify({ bits: { layer: 4 } }), { instanceOf: EspalierError, message: /exceeds 4 bits .* bits would do$/ })
  t.notThrows(() => certificate.verify({ bits: { layer: 9 } }))
  t.throws(() => certificate.witness('other', 0, 'min'), { instanceOf: EspalierError })
  t.throws(() => certificate.witness('layer', 99, 'min'), { instanceOf: EspalierError })
  t.throws(() => quant.certify(new nn.Linear(2, 2)), { instanceOf: EspalierError })
})
