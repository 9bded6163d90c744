import test from 'ava'
import {
  accuracy,
  data,
  EspalierError,
  earlyStopping,
  evaluate,
  fit,
  Generator,
  manualSeed,
  nn,
  ops,
  optim,
  type Progress,
  tensor,
  topAccuracy,
  zeros,
} from '../../lib/index.js'

const digits = data.digits()
const network = (seed = 1): nn.Sequential => {
  const generator = new Generator(seed)
  return new nn.Sequential(
    new nn.Flatten(),
    new nn.Linear(64, 32, { generator }),
    new nn.ReLU(),
    new nn.Dropout(0.1, { generator }),
    new nn.Linear(32, 10, { generator }),
  )
}
const setting = (model: nn.Module, epochs = 1) => ({
  train: digits.train,
  epochs,
  batchSize: 64,
  generator: new Generator(2),
  optimizer: new optim.Adam(model.parameters(), { lr: 0.005 }),
  loss: ops.crossEntropy,
  progress: false,
})

test('learns the digits, and the same seed gives the same course', async (t) => {
  const run = async () => {
    const model = network()
    const history = await fit(model, { ...setting(model, 4), validation: digits.test, metrics: { accuracy } })
    return { history, weights: model.stateDict() }
  }
  const { history, weights } = await run()
  t.is(history.epochs.length, 4)
  t.is(history.steps, 4 * 22)
  t.false(history.stopped)
  const last = history.epochs[3]
  t.true(last.complete)
  t.true((last.validation?.accuracy ?? 0) > 0.85)
  t.true(last.train.loss < history.epochs[0].train.loss)
  t.is(last.lr, 0.005)
  const again = await run()
  t.deepEqual(
    again.history.epochs.map(({ train }) => train),
    history.epochs.map(({ train }) => train),
  )
  t.deepEqual(again.weights['1.weight'].toArray(), weights['1.weight'].toArray())
})

test('a loader, a loss module, a schedule', async (t) => {
  const model = network()
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1 })
  const train = new data.DataLoader(digits.train, { batchSize: 100, dropLast: true, transform: data.scale(1 / 16) })
  const history = await fit(model, {
    ...setting(model, 3),
    train,
    optimizer,
    loss: new nn.CrossEntropyLoss(),
    schedule: new optim.StepLR(optimizer, { stepSize: 1, gamma: 0.5 }),
  })
  t.deepEqual(
    history.epochs.map(({ lr, steps }) => [lr, steps]),
    [
      [0.1, 13],
      [0.05, 13],
      [0.025, 13],
    ],
  )
})

test('one-cycle schedules move at every step, plateaus by the loss', async (t) => {
  const model = network()
  const optimizer = new optim.SGD(model.parameters(), { lr: 0.1, momentum: 0.9 })
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.1, totalSteps: 44 })
  await fit(model, { ...setting(model, 2), optimizer, schedule })
  t.is(schedule.lastEpoch, 44)
  const plateau = new optim.ReduceLROnPlateau(optimizer)
  await fit(model, { ...setting(model, 2), optimizer, schedule: plateau })
  t.is(plateau.lastEpoch, 2)
  t.true(Number.isFinite(plateau.best))
})

test('timers fire between two steps while a model trains', async (t) => {
  // How many steps each timer came late that was due when its step ended; those that did not come before the end are not in it.
  const late = async (yieldEvery: number): Promise<number[]> => {
    const model = network()
    const steps: number[] = []
    let now = 0
    const callback = {
      onStepEnd({ totalSteps }: { totalSteps: number }) {
        now = totalSteps
        setTimeout(() => steps.push(now - totalSteps), 1)
        for (const due = performance.now() + 2; performance.now() < due; );
      },
    }
    const history = await fit(model, { ...setting(model), yieldEvery, callbacks: [callback] })
    t.is(history.steps, 22)
    return steps.slice()
  }
  const served = await late(1)
  // (The first may be armed in a turn whose timers are behind it already.)
  t.true(served.length >= 21 && Math.max(...served) <= 1, `steps late: ${served}`)
  t.deepEqual(await late(1e9), [])
})

test('an aborted signal ends the training between two steps, with the history so far', async (t) => {
  const model = network()
  const controller = new AbortController()
  const history = await fit(model, {
    ...setting(model, 5),
    signal: controller.signal,
    callbacks: [
      {
        onStepEnd({ totalSteps }) {
          if (totalSteps === 30) controller.abort()
        },
      },
    ],
  })
  t.true(history.stopped)
  t.is(history.steps, 30)
  t.deepEqual(
    history.epochs.map(({ steps, complete }) => [steps, complete]),
    [
      [22, true],
      [8, false],
    ],
  )
  t.true(model.training)
  t.true(model.parameters().every(({ grad }) => grad === null))
  const none = await fit(model, { ...setting(model, 5), signal: AbortSignal.abort() })
  t.deepEqual([none.steps, none.epochs, none.stopped], [0, [], true])
})

test('a signal during validation ends it, and the epoch counts as incomplete', async (t) => {
  const model = network()
  const controller = new AbortController()
  function* validation() {
    for (const batch of new data.DataLoader(digits.test, { batchSize: 100 })) {
      yield batch
      controller.abort()
    }
  }
  const history = await fit(model, { ...setting(model, 5), validation: { [Symbol.iterator]: validation }, signal: controller.signal })
  t.true(history.stopped)
  t.deepEqual(
    history.epochs.map(({ steps, complete, validation }) => [steps, complete, validation]),
    [[22, false, null]],
  )
  t.true([...model.modules()].every(({ training }) => training))
})

test('nothing to train on is an error', async (t) => {
  const model = network()
  const once = new data.DataLoader(digits.train, { batchSize: 64 })[Symbol.iterator]()
  await t.throwsAsync(fit(model, { ...setting(model, 2), train: once }), { instanceOf: EspalierError, message: /no batches in epoch 1/ })
  const none = new data.TensorDataset(zeros([0, 64]), zeros([0], { dtype: 'int32' }))
  await t.throwsAsync(fit(model, { ...setting(model), train: none }), { instanceOf: EspalierError, message: /no batches in epoch 0/ })
})

test('callbacks hear of epochs and steps, are waited for, and can stop', async (t) => {
  const model = network()
  const heard: string[] = []
  const progress: Progress[] = []
  const history = await fit(model, {
    ...setting(model, 5),
    progress: (at) => progress.push(at),
    callbacks: [
      {
        async onEpochStart({ epoch }) {
          await new Promise((resolve) => setTimeout(resolve, 1))
          heard.push(`start ${epoch}`)
        },
        onEpochEnd({ epoch, stop }, record) {
          heard.push(`end ${epoch} ${record.steps}`)
          if (epoch === 1) stop()
        },
      },
    ],
  })
  t.deepEqual(heard, ['start 0', 'end 0 22', 'start 1', 'end 1 22'])
  t.true(history.stopped)
  t.is(progress.length, 44)
  t.deepEqual([progress[43].epoch, progress[43].step, progress[43].steps], [1, 22, 22])
})

test('early stopping waits, then returns to the best state', async (t) => {
  const model = new nn.Sequential(new nn.Linear(2, 1))
  const first = model.stateDict()['0.weight'].toArray()
  const train = new data.TensorDataset(zeros([4, 2]), zeros([4, 1]))
  const optimizer = new optim.SGD(model.parameters(), { lr: 0 })
  const worse = {
    onEpochStart() {
      model.parameters()[1].data[0] += 1
    },
  }
  const history = await fit(model, {
    train,
    epochs: 50,
    optimizer,
    loss: ops.mseLoss,
    progress: false,
    callbacks: [worse, earlyStopping({ patience: 2 })],
  })
  t.true(history.stopped)
  t.deepEqual(model.stateDict()['0.weight'].toArray(), first)
  t.true(history.epochs.length < 50)
  for (const options of [{ patience: -1 }, { minDelta: Number.NaN }, { mode: 'up' as 'max' }])
    t.throws(() => earlyStopping(options), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' }, JSON.stringify(options))
})

test('errors leave the model usable', async (t) => {
  const model = network().eval()
  const before = model.stateDict()
  await t.throwsAsync(fit(model, { ...setting(model), train: new data.TensorDataset(zeros([4, 1, 8, 9]), zeros([4], { dtype: 'int32' })) }), {
    instanceOf: EspalierError,
    code: 'SHAPE_MISMATCH',
  })
  const nan = new data.TensorDataset(zeros([4, 64]), zeros([4], { dtype: 'int32' }))
  nan.x.data[3] = Number.NaN
  await t.throwsAsync(fit(model, { ...setting(model), train: nan }), { instanceOf: EspalierError, code: 'STATE', message: /loss is NaN in epoch 0, step 0/ })
  t.deepEqual(model.stateDict()['1.weight'].toArray(), before['1.weight'].toArray())
  t.true(
    [...model.modules()].every(({ training }) => !training),
    'the mode is as it was',
  )
  const failing = { onStepEnd: () => Promise.reject(new Error('mine')) }
  await t.throwsAsync(fit(model, { ...setting(model), callbacks: [failing] }), { message: 'mine' })
  const history = await fit(model, setting(model))
  t.is(history.steps, 22)
})

test('a model is trained once at a time', async (t) => {
  const model = network()
  const first = fit(model, setting(model))
  await t.throwsAsync(fit(model, setting(model)), { instanceOf: EspalierError, code: 'STATE' })
  t.is((await first).steps, 22)
})

test('bad options are errors', async (t) => {
  const model = network()
  const good = setting(model)
  const bad: object[] = [
    { epochs: -1 },
    { epochs: 1.5 },
    { batchSize: 0 },
    { train: 3 },
    { train: null },
    { loss: 'mse' },
    { optimizer: null },
    { yieldEvery: Number.NaN },
    { metrics: { loss: accuracy } },
  ]
  for (const options of bad) await t.throwsAsync(fit(model, { ...good, ...options }), { instanceOf: EspalierError }, JSON.stringify(options))
})

test('evaluate is exact over uneven batches and restores each mode', async (t) => {
  manualSeed(0)
  const model = network()
  model.at(3)?.eval()
  const whole = await evaluate(model, digits.test, { loss: ops.crossEntropy, metrics: { accuracy, top3: topAccuracy(3) }, batchSize: 450 })
  const parts = await evaluate(model, digits.test, { loss: ops.crossEntropy, metrics: { accuracy, top3: topAccuracy(3) }, batchSize: 64 })
  t.is(parts.accuracy, whole.accuracy)
  t.true(Math.abs(parts.loss - whole.loss) < 1e-5)
  t.true(parts.top3 >= parts.accuracy)
  t.deepEqual(
    [...model.modules()].map(({ training }) => training),
    [true, true, true, true, false, true],
  )
  await t.throwsAsync(evaluate(model, digits.test, { signal: AbortSignal.abort() }), { any: true, name: 'AbortError' })
})

test('accuracy counts the first of equal scores', (t) => {
  const scores = tensor([
    [1, 3, 2],
    [5, 5, 0],
    [0, 1, 1],
  ])
  t.is(accuracy(scores, tensor(new Int32Array([1, 0, 2]))), 2 / 3)
  t.is(topAccuracy(2)(scores, tensor(new Int32Array([2, 1, 2]))), 1)
  t.throws(() => accuracy(scores, zeros([2])), { instanceOf: EspalierError })
})
