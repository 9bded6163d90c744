import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { data, EspalierError, Generator, NeuralNetClassifier, NeuralNetRegressor, nn, noGrad, ops, optim, quant, Tensor, tensor } from '../../lib/index.js'

const digits = data.digits()
const train = { x: digits.train.x.mul(1 / 16), y: digits.train.y }
const held = { x: digits.test.x.mul(1 / 16), y: digits.test.y }

/** Points of three species in four measures, in the manner of the penguins: two overlap a little. */
function species(count: number, seed = 1): { X: number[][]; y: string[] } {
  const generator = new Generator(seed)
  const centres: Record<string, number[]> = { Adelie: [-0.9, 0.8, -0.7, -0.6], Chinstrap: [0.9, 0.9, -0.3, -0.5], Gentoo: [0.6, -1.1, 1.1, 1.2] }
  const names = Object.keys(centres)
  const noise = generator.normal([count, 4], { std: 0.4 }).data
  const y = Array.from({ length: count }, (_, i) => names[i % 3])
  return { X: y.map((name, i) => centres[name].map((value, j) => value + noise[4 * i + j])), y }
}
const small = { moduleNLayers: 2, moduleNHiddenNeuronsMultiplier: 3, maxEpochs: 25, batchSize: 32, seed: 1 } as const
const { X, y } = species(150)
const other = species(90, 2)

const thrown = async (t: ExecutionContext, promise: Promise<unknown>, pattern: RegExp, code = 'INVALID_ARGUMENT'): Promise<void> => {
  await t.throwsAsync(promise, { instanceOf: EspalierError, message: pattern, code })
}

test('learns the digits at every accumulator, each proved', async (t) => {
  for (const [moduleNAccumBits, bits, least] of [
    [32, 4, 0.91],
    [10, 4, 0.92],
    [8, 3, 0.91],
    [7, 2, 0.8],
  ]) {
    const classifier = new NeuralNetClassifier({
      moduleNLayers: 3,
      moduleNHiddenNeuronsMultiplier: 1,
      moduleNAccumBits,
      moduleNWBits: bits,
      moduleNABits: bits,
      seed: 1,
    })
    await classifier.fit(train.x, train.y)
    const share = classifier.score(held.x, held.y)
    t.true(share > least, `${moduleNAccumBits} bits: ${share}`)
    t.true(classifier.certificate.bits <= moduleNAccumBits)
    classifier.certificate.verify({ bits: moduleNAccumBits })
    t.is(classifier.history.epochs.length, 10)
  }
})

test('a fitted estimator never exceeds its width, whatever the method, widths, codes and data', async (t) => {
  const setting = fc.record({
    moduleAccumulator: fc.constantFrom('budget', 'fan-in', 'a2q', 'a2q+') as fc.Arbitrary<'budget'>,
    moduleNAccumBits: fc.integer({ min: 4, max: 14 }),
    moduleNWBits: fc.integer({ min: 2, max: 5 }),
    moduleNABits: fc.integer({ min: 2, max: 5 }),
    moduleQuantSigned: fc.boolean(),
    moduleQuantNarrow: fc.boolean(),
    modulePowerOfTwoScaling: fc.boolean(),
    moduleActivationFunction: fc.constantFrom(nn.ReLU, nn.Tanh) as fc.Arbitrary<typeof nn.ReLU>,
    moduleNLayers: fc.integer({ min: 1, max: 3 }),
    lr: fc.constantFrom(0.01, 0.3),
    seed: fc.nat({ max: 99 }),
  })
  let [fitted, refused] = [0, 0]
  await fc.assert(
    fc.asyncProperty(setting, async (options) => {
      const make = (moduleNAccumBits: number): NeuralNetClassifier =>
        new NeuralNetClassifier({ ...options, moduleNAccumBits, moduleNHiddenNeuronsMultiplier: 2, maxEpochs: 3, batchSize: 32 })
      let classifier: NeuralNetClassifier
      try {
        classifier = make(options.moduleNAccumBits)
      } catch (error) {
        // Refused: then with the width that would do, and with none below it.
        const least = Number(/expected at least (\d+)$/.exec((error as Error).message)?.[1])
        t.true(least > options.moduleNAccumBits)
        t.throws(() => make(least - 1), { instanceOf: EspalierError })
        classifier = make(least)
        refused++
      }
      await classifier.fit(X, y)
      const bits = classifier.getParams().module__n_accum_bits
      const { certificate } = classifier
      certificate.verify({ bits })
      for (const { neurons } of certificate.layers) for (const neuron of neurons) t.true(neuron.bits <= bits)
      // What an input that exists does is inside.
      classifier.integerForward(classifier.quantizeInput(other.X)).data.forEach((value, i) => {
        const { min, max } = certificate.layers[certificate.layers.length - 1].neurons[i % 3]
        t.true(value >= min && value <= max)
      })
      fitted++
    }),
    { numRuns: 40, seed: 4 },
  )
  t.true(fitted >= 40 && refused > 3)
})

test('labels are any numbers or strings, in rows of every form', async (t) => {
  const names = await new NeuralNetClassifier(small).fit(X, y)
  t.deepEqual(names.classes, ['Adelie', 'Chinstrap', 'Gentoo'])
  t.true(names.score(other.X, other.y) > 0.9)
  const said = names.predict(other.X)
  t.is(said.length, 90)
  t.is(said.filter((name, i) => name === other.y[i]).length / 90, names.score(other.X, other.y))

  const forms = [
    X,
    X.map((row) => Float32Array.from(row)),
    Float64Array.from(X.flat()),
    X.flat(),
    tensor(X),
    tensor(X, { dtype: 'float64' }),
    tensor(X).reshape([150, 2, 2]),
  ]
  for (const form of forms) t.deepEqual((await new NeuralNetClassifier(small).fit(form, y)).predict(other.X), said)
  // One flat row where the width is known.
  t.deepEqual(names.predict(other.X[0]), [said[0]])

  const numbers = y.map((name) => ({ Adelie: 7.5, Chinstrap: -2, Gentoo: 1e6 })[name] as number)
  const byNumber = await new NeuralNetClassifier(small).fit(X, Float64Array.from(numbers))
  t.deepEqual(byNumber.classes, [-2, 7.5, 1e6])
  t.true(
    byNumber.score(
      other.X,
      other.y.map((name) => ({ Adelie: 7.5, Chinstrap: -2, Gentoo: 1e6 })[name] as number),
    ) > 0.9,
  )
  t.deepEqual((await new NeuralNetClassifier(small).fit(X, tensor(Int32Array.from(numbers)))).classes, [-2, 7, 1e6])
})

test('probabilities: rows add up to 1, agree with the predictions, and two classes are two', async (t) => {
  for (const count of [2, 3]) {
    const [rows, labels] = [X.filter((_, i) => i % 3 < count), y.filter((_, i) => i % 3 < count)]
    const classifier = await new NeuralNetClassifier(small).fit(rows, labels)
    const probabilities = classifier.predictProba(other.X)
    t.deepEqual(probabilities.shape, [90, count])
    const said = classifier.predict(other.X)
    for (let row = 0; row < 90; row++) {
      const each = Array.from(probabilities.data.subarray(row * count, (row + 1) * count))
      t.true(Math.abs(each.reduce((sum, value) => sum + value, 0) - 1) < 1e-6)
      t.true(each.every((value) => value >= 0 && value <= 1))
      t.is(classifier.classes[each.indexOf(Math.max(...each))], said[row])
    }
    t.true(classifier.score(rows, labels) > 0.9)
  }
})

test('a regressor learns one target or several, and R² is that of scikit-learn', async (t) => {
  const rows = Float32Array.from(new Generator(3).uniform([400, 2], { min: -1, max: 1 }).data)
  const sum = Float32Array.from({ length: 400 }, (_, i) => rows[2 * i] - 0.5 * rows[2 * i + 1])
  const options = { moduleNLayers: 3, moduleNHiddenNeuronsMultiplier: 16, moduleNAccumBits: 12, maxEpochs: 40, seed: 1, trainSplit: null }
  const one = await new NeuralNetRegressor(options).fit(rows, sum)
  t.deepEqual(one.predict(rows).shape, [400])
  t.true(one.score(rows, sum) > 0.9, `${one.score(rows, sum)}`)
  t.true(one.certificate.bits <= 12)
  const both = Array.from({ length: 400 }, (_, i) => [sum[i], -sum[i]])
  const two = await new NeuralNetRegressor(options).fit(rows, both)
  const predicted = two.predict(rows)
  t.deepEqual(predicted.shape, [400, 2])
  const explained = [0, 1].map((column) => {
    const [expected, found] = [both.map((row) => row[column]), both.map((_, i) => predicted.data[2 * i + column])]
    const mean = expected.reduce((a, b) => a + b) / 400
    const residual = expected.reduce((a, value, i) => a + (value - found[i]) ** 2, 0)
    return 1 - residual / expected.reduce((a, value) => a + (value - mean) ** 2, 0)
  })
  t.true(Math.abs(two.score(rows, both) - (explained[0] + explained[1]) / 2) < 1e-6)
  t.true(two.score(rows, both) > 0.85, `${two.score(rows, both)}`)
})

test('integers in, integers through, integers out: the same bits as the network', async (t) => {
  for (const moduleNAccumBits of [32, 9]) {
    const classifier = await new NeuralNetClassifier({ ...small, moduleNLayers: 3, moduleNAccumBits }).fit(X, y)
    const codes = classifier.quantizeInput(other.X)
    t.is(codes.dtype, 'int32')
    t.true(codes.data.every((code) => code >= -8 && code <= 7))
    const sums = classifier.integerForward(codes)
    t.is(sums.dtype, 'int32')
    const outputs = classifier.dequantizeOutput(sums)
    t.deepEqual(outputs.data, noGrad(() => classifier.network.forward(tensor(other.X))).data)
    t.deepEqual(ops.softmax(outputs, 1).data, classifier.predictProba(other.X).data)
    t.throws(() => classifier.integerForward(tensor(new Int32Array([9, 0, 0, 0]), [1, 4])), { instanceOf: EspalierError, message: /-8 to 7/ })
    t.throws(() => classifier.integerForward(tensor(new Int32Array(3), [1, 3])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
    t.throws(() => classifier.dequantizeOutput(tensor(new Int32Array(4), [1, 4])), { instanceOf: EspalierError, code: 'SHAPE_MISMATCH' })
  }
})

test('the report names every layer, its proved range and widths', async (t) => {
  const classifier = await new NeuralNetClassifier({ ...small, moduleNAccumBits: 9 }).fit(X, y)
  const report = classifier.bitwidthAndRangeReport()
  t.deepEqual(Object.keys(report), ['fc0', 'fc1'])
  for (const { name, min, max, bits, fanIn, maxActive } of classifier.certificate.layers) {
    const { range, bitwidth, fanIn: inputs, activeInputs } = report[name]
    t.deepEqual({ range, bitwidth, inputs, activeInputs }, { range: [min, max], bitwidth: bits, inputs: fanIn, activeInputs: maxActive })
    t.is(quant.bitsFor(...range), bitwidth)
  }
  // Signed at the input; behind the ReLU the upper half of the same codes.
  t.deepEqual([report.fc0.inputRange, report.fc0.inputBitwidth], [[-8, 7], 4])
  t.deepEqual([report.fc1.inputRange, report.fc1.inputBitwidth], [[0, 7], 3])
})

test('prune removes neurons physically, keeps the width, and leaves the estimator alone', async (t) => {
  for (const moduleAccumulator of ['budget', 'fan-in', 'a2q+'] as const) {
    const options = { ...small, moduleNLayers: 3, moduleNHiddenNeuronsMultiplier: 6, moduleNAccumBits: 10, moduleAccumulator }
    const classifier = await new NeuralNetClassifier(options).fit(X, y)
    const before = classifier.network.stateDict()
    const pruned = await classifier.prune(X, y, 0.5, {})
    t.true(pruned instanceof NeuralNetClassifier)
    t.deepEqual(
      ['fc0', 'fc1', 'fc2'].map((name) => (pruned.network.getModule(name) as nn.Linear).weight.shape),
      [
        [12, 4],
        [12, 12],
        [3, 12],
      ],
    )
    t.deepEqual((pruned.network.getModule('fc0') as nn.Linear).bias?.shape, [12])
    t.true(pruned.certificate.bits <= 10)
    const share = pruned.score(other.X, other.y)
    t.true(share > 0.9, `${moduleAccumulator}: ${share}`)
    t.is(pruned.getParams().module__n_prune_neurons_percentage, 0.5)
    t.is(classifier.getParams().module__n_prune_neurons_percentage, 0)
    t.deepEqual(classifier.network.stateDict(), before)
    await thrown(t, pruned.prune(X, y, 0.5), /pruned already/, 'STATE')
    for (const fraction of [0, 1, -0.1, Number.NaN]) await thrown(t, classifier.prune(X, y, fraction), /fraction/)
  }
})

test('what prune keeps are the neurons of the largest norm, before they train on', async (t) => {
  const classifier = await new NeuralNetClassifier(small).fit(X, y)
  const { weight, bias } = classifier.network.getModule('fc0') as nn.Linear
  const next = (classifier.network.getModule('fc1') as nn.Linear).weight
  const norm = (row: number): number => Array.from(weight.data.subarray(4 * row, 4 * row + 4)).reduce((sum, value) => sum + value ** 2, 0)
  const kept = Array.from({ length: 12 }, (_, row) => row)
    .sort((a, b) => norm(b) - norm(a))
    .slice(0, 9)
    .sort((a, b) => a - b)
  classifier.setParams({ lr: 0, maxEpochs: 1 })
  const { network } = await classifier.prune(X, y, 0.25)
  const layer = network.getModule('fc0') as nn.Linear
  t.deepEqual(
    Array.from(layer.weight.data),
    kept.flatMap((row) => Array.from(weight.data.subarray(4 * row, 4 * row + 4))),
  )
  t.deepEqual(
    Array.from(layer.bias?.data ?? []),
    kept.map((row) => bias?.data[row]),
  )
  t.deepEqual(
    Array.from((network.getModule('fc1') as nn.Linear).weight.data),
    [0, 1, 2].flatMap((row) => kept.map((column) => next.data[12 * row + column])),
  )
})

test('a share of neurons to remove makes the network smaller from the start', async (t) => {
  const classifier = await new NeuralNetClassifier({ ...small, moduleNPruneNeuronsPercentage: 0.5, moduleNAccumBits: 9 }).fit(X, y)
  t.deepEqual((classifier.network.getModule('fc0') as nn.Linear).weight.shape, [6, 4])
  t.true(classifier.score(other.X, other.y) > 0.85)
})

test('fitBenchmark trains a twin in floats', async (t) => {
  const classifier = new NeuralNetClassifier({ ...small, moduleNAccumBits: 9 })
  const float = await classifier.fitBenchmark(X, y)
  t.true(float.score(other.X, other.y) > 0.9)
  t.true(classifier.score(other.X, other.y) > 0.85)
  t.is(float.predict(other.X).length, 90)
  t.deepEqual(float.outputs(other.X).shape, [90, 3])
  // Aborted in its second half: neither is kept.
  const aborted = new AbortController()
  const before = classifier.predictProba(other.X).data
  const reason = new Error('enough')
  let epochs = 0
  const options = { signal: aborted.signal, callbacks: [{ onEpochEnd: () => void (++epochs === 30 && aborted.abort(reason)) }] }
  t.is(await t.throwsAsync(classifier.setParams({ seed: 9 }).fitBenchmark(X, y, options)), reason)
  t.is(epochs, 30)
  t.deepEqual(classifier.predictProba(other.X).data, before)
  t.deepEqual(Object.keys(float.network.stateDict()), ['fc0.weight', 'fc0.bias', 'fc1.weight', 'fc1.bias'])
  t.is(float.history.epochs.length, 25)
})

test('parameters by either name, there and back', async (t) => {
  const classifier = new NeuralNetClassifier({ moduleNLayers: 3 })
  const { optimizer, module__activation_function, ...defaults } = classifier.getParams()
  t.is(optimizer, optim.Adam as never)
  t.is(module__activation_function, nn.ReLU as never)
  t.deepEqual(defaults, {
    module__n_layers: 3,
    module__n_hidden_neurons_multiplier: 4,
    module__n_w_bits: 4,
    module__n_a_bits: 4,
    module__n_accum_bits: 32,
    module__n_prune_neurons_percentage: 0,
    module__quant_narrow: false,
    module__quant_signed: true,
    module__power_of_two_scaling: true,
    module__accumulator: 'budget',
    max_epochs: 10,
    batch_size: 128,
    lr: 0.01,
    criterion: null,
    train_split: 5,
    early_stopping: null,
    seed: 0,
  })
  const values = fc.record({
    module__n_layers: fc.integer({ min: 1, max: 9 }),
    module__n_w_bits: fc.integer({ min: 2, max: 8 }),
    module__n_a_bits: fc.integer({ min: 2, max: 8 }),
    module__n_accum_bits: fc.integer({ min: 24, max: 32 }),
    module__quant_narrow: fc.boolean(),
    module__accumulator: fc.constantFrom('budget', 'fan-in', 'a2q', 'a2q+') as fc.Arbitrary<'budget'>,
    max_epochs: fc.integer({ min: 1, max: 99 }),
    train_split: fc.option(fc.integer({ min: 2, max: 9 })),
    early_stopping: fc.option(fc.constant({ patience: 3 })),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(values, (given) => {
      const before = classifier.getParams()
      const after = classifier.setParams(given).getParams()
      t.deepEqual(after, { ...before, ...given })
      t.deepEqual(new NeuralNetClassifier({ moduleNLayers: 1 }).setParams(after).getParams(), after)
    }),
  )
  t.is(classifier.setParams({ moduleNWBits: 3 }).getParams().module__n_w_bits, 3)
  t.is(classifier.setParams({ module__n_w_bits: 5 }).getParams().module__n_w_bits, 5)
})

test('bad parameters are refused, by name, and change nothing', (t) => {
  const classifier = new NeuralNetClassifier({ moduleNLayers: 3 })
  const before = classifier.getParams()
  const cases: [object, RegExp][] = [
    [{ moduleNLayers: 0 }, /moduleNLayers is 0/],
    [{ module__n_w_bits: 1 }, /moduleNWBits is 1, expected a whole number from 2 to 8/],
    [{ moduleNABits: 9 }, /moduleNABits is 9/],
    [{ moduleNAccumBits: 33 }, /moduleNAccumBits is 33/],
    [{ moduleNHiddenNeuronsMultiplier: 0 }, /moduleNHiddenNeuronsMultiplier/],
    [{ moduleNPruneNeuronsPercentage: 1 }, /moduleNPruneNeuronsPercentage/],
    [{ moduleAccumulator: 'toString' }, /moduleAccumulator is "toString", expected one of budget, fan-in, a2q, a2q\+/],
    [{ moduleQuantSigned: 1 }, /moduleQuantSigned/],
    [{ trainSplit: 1 }, /trainSplit/],
    [{ lr: Number.NaN }, /lr is NaN/],
    [{ optimizer: 'adam' }, /optimizer is "adam"/],
    [{ criterion: 3 }, /criterion is 3/],
    [{ maxEpochs: 2, momentum: 0.9 }, /there is no parameter "momentum"/],
    [{ constructor: 3 }, /there is no parameter/],
    [{ maxEpochs: 5, moduleNAccumBits: 3 }, /moduleNAccumBits is 3: .*expected at least 6$/],
  ]
  for (const [given, message] of cases) {
    t.throws(() => classifier.setParams(given), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT', message })
    t.throws(() => new NeuralNetClassifier({ moduleNLayers: 3, ...given }), { instanceOf: EspalierError, message })
  }
  t.deepEqual(classifier.getParams(), before)
  t.throws(() => new NeuralNetRegressor({} as never), { instanceOf: EspalierError, message: /moduleNLayers is missing/ })
})

test('whatever fails or is aborted leaves the estimator as it was', async (t) => {
  const classifier = new NeuralNetClassifier(small)
  t.throws(() => classifier.predict(X), { instanceOf: EspalierError, code: 'STATE' })
  t.throws(() => classifier.certificate, { instanceOf: EspalierError, code: 'STATE' })
  await thrown(t, classifier.prune(X, y, 0.5), /not fitted/, 'STATE')
  await classifier.fit(X, y)
  const before = classifier.predictProba(other.X).data

  await thrown(t, classifier.fit(X, y.slice(1)), /X: 150 rows, expected 149/, 'SHAPE_MISMATCH')
  await thrown(t, classifier.fit([[1, 2], [3]], [0, 1]), /row 1 is/, 'SHAPE_MISMATCH')
  await thrown(
    t,
    classifier.fit(
      [
        [1, 2],
        [3, Number.NaN],
      ],
      [0, 1],
    ),
    /row 1, column 1 is NaN/,
  )
  await thrown(
    t,
    classifier.fit(
      [
        [1, 2],
        [3, '4' as never],
      ],
      [0, 1],
    ),
    /row 1 holds "4"/,
  )
  await thrown(t, classifier.fit(X, new Array(150).fill('one')), /only the class "one"/)
  await thrown(t, classifier.fit(X, y.with(3, Number.NaN as never)), /label 3 is NaN/)
  await thrown(t, classifier.fit([], []), /no class/)
  await thrown(t, classifier.fit('abc' as never, y), /fit: X is "abc"/)
  t.throws(() => classifier.predict([[1, 2, 3]]), { instanceOf: EspalierError, message: /rows of 3, expected 4/ })

  const aborted = new AbortController()
  const reason = new Error('enough')
  const running = classifier.fit(X, y, {
    signal: aborted.signal,
    callbacks: [{ onEpochEnd: ({ epoch }) => void (epoch === 2 && aborted.abort(reason)) }],
  })
  await thrown(t, classifier.fit(X, y), /being trained already/, 'STATE')
  t.is(await t.throwsAsync(running), reason)
  t.is(await t.throwsAsync(classifier.fit(X, y, { signal: aborted.signal })), reason)
  t.is(await t.throwsAsync(classifier.prune(X, y, 0.5, { signal: aborted.signal })), reason)
  t.deepEqual(classifier.predictProba(other.X).data, before)
})

test('a seed fixes everything; others give others', async (t) => {
  const run = async (seed: number): Promise<ArrayLike<number>> =>
    (await new NeuralNetClassifier({ ...small, moduleNAccumBits: 9, seed }).fit(X, y)).predictProba(X).data
  const first = await run(5)
  t.deepEqual(await run(5), first)
  t.notDeepEqual(await run(6), first)
})

test('a fifth is held out, stratified, and can end the training', async (t) => {
  const classifier = await new NeuralNetClassifier(small).fit(X, y)
  t.true(classifier.history.epochs.every(({ validation }) => validation !== null && validation.loss > 0))
  t.is(classifier.history.epochs[0].steps, Math.ceil(120 / 32))
  const whole = await new NeuralNetClassifier({ ...small, trainSplit: null }).fit(X, y)
  t.is(whole.history.epochs[0].validation, null)
  t.is(whole.history.epochs[0].steps, Math.ceil(150 / 32))
  for (const moduleAccumulator of ['budget', 'fan-in', 'a2q'] as const) {
    const stopped = await new NeuralNetClassifier({ ...small, moduleAccumulator, moduleNAccumBits: 9, maxEpochs: 300, earlyStopping: { patience: 3 } }).fit(
      X,
      y,
    )
    t.true(stopped.history.epochs.length < 300)
    t.true(stopped.certificate.bits <= 9)
    t.true(stopped.score(other.X, other.y) > 0.8)
  }
})

test('progress is told, and another loss and optimiser are used', async (t) => {
  let told = 0
  const classifier = await new NeuralNetClassifier({ ...small, maxEpochs: 2, optimizer: optim.SGD, criterion: new nn.CrossEntropyLoss() }).fit(X, y, {
    progress: ({ epochs }) => {
      t.is(epochs, 2)
      told++
    },
  })
  // After each of four steps, and after the validation.
  t.is(told, 2 * 5)
  t.true(classifier.predict(X).length === 150)
  const output = classifier.predictProba(X)
  t.true(output instanceof Tensor)
})
