// PruneCell against what N2D2 does: the worked cases, in float32.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { data, fit, Generator, nn, ops, optim, prune, type Tensor, tensor } from '../../lib/index.js'

const weights = [0.5, -0.004, 0.1, -0.3, 0, 0.2, 0.05, -0.0105, 0.9, -0.7]
const layerOf = (values: readonly number[], rows = 1): nn.Linear => {
  const layer = new nn.Linear(values.length / rows, rows)
  layer.weight.data.set(values)
  return layer
}
const zerosIn = (mask: Tensor): number[] => Array.from(mask.data.keys()).filter((i) => mask.data[i] === 0)
const share = (mask: Tensor): number => zerosIn(mask).length / mask.size
const rounded = (value: number): number => Number(value.toFixed(6))

/** Runs `body` and gives the warnings that came meanwhile. */
async function warningsIn(body: () => void): Promise<string[]> {
  const heard: string[] = []
  const listen = ({ message }: Error): void => void heard.push(message)
  process.on('warning', listen)
  body()
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  return heard
}

for (const [threshold, delta, masked] of [
  [0, 0.001, [4]],
  [0.1, 0.001, [4]],
  [0.1, 0.01, [1, 4]], // δ itself is the first level tried
  [0.2, 0.001, [1, 4]],
  [0.3, 0.001, [1, 4, 7]],
  [0.3, 0.1, [1, 2, 4, 6, 7]],
  [0.3, 1, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]],
  [0.5, 0.001, [1, 2, 4, 6, 7]],
] as const)
  test(`IterNonStruct: threshold ${threshold}, delta ${delta} masks ${masked}`, (t) => {
    const layer = layerOf(weights)
    const cell = new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold, delta }).addWeights(layer)
    t.deepEqual(zerosIn(cell.getPrunedMasks(0)), [...masked])
    t.deepEqual(
      Array.from(cell.getQuantizedWeights(0).data),
      Array.from(layer.latentWeight('weight').data, (w, i) => w * Number(!(masked as readonly number[]).includes(i))),
    )
  })

test('the levels of the iteration are compared in float32', (t) => {
  // What the search step by step finds, for weights that lie on its levels and anywhere.
  const generator = new Generator(3)
  for (let round = 0; round < 200; round++) {
    const layer = new nn.Linear(16, 4, { generator })
    const [u, v] = generator.uniform([2]).data
    const [threshold, delta] = [u, 10 ** (-4 * v)]
    const { data: latent } = layer.weight
    for (let i = 0; i < latent.length; i += 2) latent[i] = Math.fround(Math.fround(delta) * Math.round(latent[i] / delta))
    const cell = new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold, delta }).addWeights(layer)
    const level = searched(Array.from(layer.latentWeight('weight').data, Math.abs), threshold, delta)
    t.deepEqual(
      zerosIn(cell.getPrunedMasks()),
      Array.from(layer.latentWeight('weight').data.keys()).filter((i) => Math.abs(layer.latentWeight('weight').data[i]) <= level),
    )
  }
})

/** N2D2's loop. */
function searched(magnitudes: number[], threshold: number, delta: number): number {
  let level = 0
  for (let k = 0, zeros = 0; Math.fround(zeros / magnitudes.length) < Math.fround(threshold); ) {
    level = Math.fround(Math.fround(delta) * Math.fround(++k))
    zeros = magnitudes.filter((magnitude) => magnitude <= level).length
  }
  return level
}

test('Identity prunes nothing, but exact zeros under IterNonStruct', (t) => {
  t.deepEqual(zerosIn(new prune.PruneCell().addWeights(layerOf(weights)).getPrunedMasks()), [])
  t.deepEqual(zerosIn(new prune.PruneCell({ pruneFiller: 'IterNonStruct', threshold: 0.9 }).addWeights(layerOf(weights)).getPrunedMasks()), [4])
  t.deepEqual(zerosIn(new prune.PruneCell({ pruneFiller: 'None' }).addWeights(layerOf(weights)).getPrunedMasks()), [])
})

test('Random adds zeros up to the share, rounded up in float32, and clears none', (t) => {
  for (const [threshold, size, zeros] of [
    [0.25, 10, 3],
    [0.1, 10, 1], // 1.00000001 rounded to float32 is 1, and so is its ceiling
    [0.3, 10, 3],
    [0, 10, 0],
    [1, 10, 10],
  ]) {
    const cell = new prune.PruneCell({ pruneMode: 'Static', threshold, generator: new Generator(1) })
    cell.addWeights(layerOf(Array.from({ length: size }, () => 1)))
    t.is(zerosIn(cell.getPrunedMasks()).length, zeros, String(threshold))
  }
  const grown = new prune.PruneCell({ pruneMode: 'Gradual', start: 0.2, gamma: 0.3, threshold: 0.8, stepsize: 1, generator: new Generator(1) })
  grown.addWeights(layerOf(weights))
  let before: number[] = []
  for (const wanted of [2, 5, 8]) {
    const now = zerosIn(grown.getPrunedMasks())
    t.is(now.length, wanted)
    t.true(before.every((i) => now.includes(i)))
    before = now
    grown.update(1)
  }
})

test('each weight is filled for itself, and counted from 0', (t) => {
  const [a, b] = [layerOf([1, 2, 3, 4]), layerOf([10, 20, 30, 40])]
  const cell = new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold: 0.5, delta: 1 }).addWeights(a).addWeights(b).addBiases(a)
  t.deepEqual(
    [zerosIn(cell.getPrunedMasks(0)), zerosIn(cell.getPrunedMasks(1))],
    [
      [0, 1],
      [0, 1],
    ],
  )
  t.is(nn.maskOf(a, 'bias'), null)
  t.throws(() => cell.getPrunedMasks(2), { code: 'INVALID_ARGUMENT' })
  t.throws(() => cell.addWeights(b), { code: 'INVALID_ARGUMENT' })
})

test('masked weights receive no gradient, and the layer computes with the product', (t) => {
  const layer = layerOf(weights)
  new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold: 0.3 }).addWeights(layer)
  ops.sum(layer.forward(tensor([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]]))).backward()
  t.deepEqual(Array.from(layer.latentWeight('weight').grad!.data), [1, 0, 3, 4, 0, 6, 7, 0, 9, 10])
})

for (const [start, gamma, threshold, sequence] of [
  [0.1, 0.05, 0.2, [0.1, 0.15, 0.2, 0.2]],
  [0.1, 0.1, 0.3, [0.1, 0.2, 0.3, 0.3]],
  [0.1, 0.15, 0.2, [0.1, 0.2, 0.2]],
] as const)
  test(`Gradual from ${start} by ${gamma} to ${threshold}, by hand: ${sequence}`, (t) => {
    const cell = new prune.PruneCell({ pruneMode: 'Gradual', start, gamma, threshold, stepsize: 100 }).addWeights(layerOf(weights))
    const seen = [rounded(cell.getCurrentThreshold())]
    for (let samples = 64; seen.length < sequence.length; samples += 64) {
      cell.update(64)
      // Counted in samples: of two periods of 100 one ends with step 2, the other with step 4.
      if (Math.floor(samples / 100) > Math.floor((samples - 64) / 100)) seen.push(rounded(cell.getCurrentThreshold()))
    }
    t.deepEqual(seen, [...sequence])
  })

test('Gradual driven by a training: the period is counted in samples, or is an epoch', async (t) => {
  const { train } = data.digits()
  const run = async (stepsize: number) => {
    const model = new nn.Sequential(new nn.Flatten(), new nn.Linear(64, 10))
    const cell = new prune.PruneCell({ pruneMode: 'Gradual', pruneFiller: 'IterNonStruct', start: 0.1, gamma: 0.05, threshold: 0.2, stepsize })
    cell.addWeights(model.at(1) as nn.Module)
    const course: { samples: number; threshold: number; share: number }[] = []
    let samples = 0
    const watch = {
      onStepEnd: ({ samples: batch }: { samples: number }) => {
        samples += batch
        note()
      },
      onEpochEnd: () => note(),
    }
    const note = (): void => {
      const threshold = rounded(cell.getCurrentThreshold())
      if (threshold !== course.at(-1)?.threshold) course.push({ samples, threshold, share: share(cell.getPrunedMasks()) })
    }
    const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
    await fit(model, { train, epochs: 3, batchSize: 64, optimizer, loss: ops.crossEntropy, callbacks: [cell, watch], progress: false })
    return course
  }
  const bySamples = await run(500)
  t.deepEqual(
    bySamples.map(({ threshold }) => threshold),
    [0.1, 0.15, 0.2],
  )
  t.deepEqual(
    bySamples.map(({ samples }) => samples),
    [64, 512, 1024],
  )
  const byEpoch = await run(0)
  t.deepEqual(
    byEpoch.map(({ samples, threshold }) => [samples, threshold]),
    [
      [64, 0.1],
      [1347, 0.15],
      [2694, 0.2],
    ],
  )
  for (const { threshold, share: pruned } of [...bySamples, ...byEpoch]) t.true(pruned >= threshold && pruned < threshold + 0.1)
})

test('under Gradual weights may return: the mask is drawn from the latent ones', (t) => {
  const layer = layerOf(weights)
  const cell = new prune.PruneCell({ pruneMode: 'Gradual', pruneFiller: 'IterNonStruct', start: 0.2, gamma: 0.1, threshold: 0.5, epochSize: 10 }).addWeights(
    layer,
  )
  t.deepEqual(zerosIn(cell.getPrunedMasks()), [1, 4])
  layer.latentWeight('weight').data[1] = 5
  t.false(cell.update(9))
  t.true(cell.update(1))
  t.deepEqual(zerosIn(cell.getPrunedMasks()), [4, 6, 7])
})

test.serial('a start at or above the threshold never updates', async (t) => {
  let cell!: prune.PruneCell
  const warnings = await warningsIn(() => {
    cell = new prune.PruneCell({ pruneMode: 'Gradual', start: 0.5, threshold: 0.2, stepsize: 1 }).addWeights(layerOf(weights))
  })
  t.regex(warnings.join(), /never changes/)
  t.false(cell.update(10))
  t.is(cell.getCurrentThreshold(), 0.5)
})

test('parameters by every name, with N2D2’s defaults', (t) => {
  const cell = new prune.PruneCell({ range: 7, quantMode: 'Symmetric' })
  t.deepEqual(
    { ...cell.parameters },
    {
      threshold: 0.2,
      pruneMode: 'Identity',
      pruneFiller: 'Random',
      delta: 0.001,
      start: 0.1,
      stepsize: 0,
      gamma: 0.05,
      range: 7,
      quantMode: 'Symmetric',
    },
  )
  for (const name of ['pruneMode', 'prune_mode', 'PruningMode']) t.is(cell.getParameter(name), 'Identity')
  t.is(cell.getParameter('StepSizeThreshold'), 0)
  t.throws(() => cell.getParameter('Treshold'), { code: 'INVALID_ARGUMENT', message: /Treshold/ })
})

test.serial('what is set without effect is warned about', async (t) => {
  const idle = await warningsIn(() => void new prune.PruneCell({ pruneMode: 'Static', start: 0.1, gamma: 0.1 }))
  t.is(idle.length, 1)
  t.regex(idle[0], /start and gamma do nothing in mode Static/)
  t.regex((await warningsIn(() => void new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'None' }))).join(), /nothing falls/)
  t.deepEqual(await warningsIn(() => void new prune.PruneCell({ pruneMode: 'Static', threshold: 0.3 })), [])
})

test('what N2D2 lets pass is refused, and changes nothing', (t) => {
  for (const bad of [
    { threshold: 1.5 },
    { threshold: Number.NaN },
    { delta: 0 },
    { delta: Number.NaN },
    { delta: 1e-60 }, // 0 in float32
    { start: -0.1 },
    { stepsize: 1.5 },
    { stepsize: -1 },
    { gamma: -1 },
    { gamma: 0 },
    { pruneMode: 'static' as 'Static' },
    { pruneFiller: 'Iter' as 'None' },
    { epochSize: 0 },
    { treshold: 0.1 } as object,
  ])
    t.throws(() => new prune.PruneCell(bad), { name: 'EspalierError', code: 'INVALID_ARGUMENT' }, JSON.stringify(bad))

  const cell = new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold: 0.9 })
  for (const values of [
    [1, Number.NaN],
    [1, Number.POSITIVE_INFINITY],
    [1, 1e12],
  ]) {
    const layer = layerOf(values)
    t.throws(() => cell.addWeights(layer), { name: 'EspalierError', code: 'INVALID_ARGUMENT' }, String(values))
    t.false(prune.isPruned(layer))
  }
  t.throws(() => cell.getPrunedMasks(), { code: 'STATE' })
  t.throws(() => cell.addWeights(layerOf([1]), 'kernel'), { code: 'INVALID_ARGUMENT' })
  t.throws(() => cell.addWeights({} as nn.Module), { code: 'INVALID_ARGUMENT' })
  t.throws(() => cell.addBiases(new nn.Linear(2, 2, { bias: false })), { code: 'INVALID_ARGUMENT' })

  const gradual = new prune.PruneCell({ pruneMode: 'Gradual', pruneFiller: 'IterNonStruct' }).addWeights(layerOf(weights))
  t.throws(() => gradual.update(8), { code: 'STATE', message: /epochSize/ })

  // The masks of both or of none, and the threshold with them.
  const [a, b] = [layerOf(weights), layerOf(weights)]
  const both = new prune.PruneCell({ pruneMode: 'Gradual', pruneFiller: 'IterNonStruct', stepsize: 1 }).addWeights(a).addWeights(b)
  a.latentWeight('weight').data.fill(0)
  b.latentWeight('weight').data[0] = Number.NaN
  t.throws(() => both.update(1), { code: 'INVALID_ARGUMENT' })
  t.deepEqual(zerosIn(both.getPrunedMasks(0)), [4])
  t.is(rounded(both.getCurrentThreshold()), 0.1)
})

test('mask files: 0 and 1 with spaces, a row per output, beside the file of the cell', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'espalier-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const make = (threshold: number) =>
    new prune.PruneCell({ pruneMode: 'Static', pruneFiller: 'IterNonStruct', threshold }).addWeights(layerOf(weights, 2)).addWeights(layerOf([1, 2]))
  const cell = make(0.3)
  cell.exportFreeParameters(join(folder, 'conv1'))
  cell.exportFreeParameters(join(folder, 'conv1.syntxt'))
  t.deepEqual(readdirSync(folder).sort(), ['conv1_masks', 'conv1_masks.syntxt'])
  t.is(readFileSync(join(folder, 'conv1_masks'), 'utf8'), '1 0 1 1 0 \n1 1 0 1 1 \n0 1 \n')

  const other = make(0)
  other.importFreeParameters(join(folder, 'conv1'))
  t.deepEqual([zerosIn(other.getPrunedMasks(0)), zerosIn(other.getPrunedMasks(1))], [[1, 4, 7], [0]])
  other.importFreeParameters(join(folder, 'conv2'), true)
  for (const text of ['', '1 0', '1 0 1 1 0 1 1 0 1 1 0 2', '1 0 1 1 0 1 1 0 1 1 0 x', '1 '.repeat(13), ' '.repeat(10_000)]) {
    writeFileSync(join(folder, 'conv3_masks'), text)
    t.throws(() => other.importFreeParameters(join(folder, 'conv3')), { name: 'EspalierError', code: 'FORMAT' }, text)
  }
  t.throws(() => other.importFreeParameters(join(folder, 'conv2')), { code: 'FORMAT' })
  t.deepEqual([zerosIn(other.getPrunedMasks(0)), zerosIn(other.getPrunedMasks(1))], [[1, 4, 7], [0]])
})

test('a training is resumed in the middle of Gradual', (t) => {
  const options = { pruneMode: 'Gradual', pruneFiller: 'IterNonStruct', start: 0.1, gamma: 0.1, threshold: 0.5, stepsize: 10 } as const
  const layer = layerOf(weights)
  const cell = new prune.PruneCell(options).addWeights(layer)
  cell.update(17)
  const [model, state] = [layer.stateDict(), JSON.parse(JSON.stringify(cell.stateDict()))]

  const copy = layerOf(weights.map(() => 1))
  const resumed = new prune.PruneCell(options).addWeights(copy)
  copy.loadStateDict(model)
  resumed.loadStateDict(state)
  t.deepEqual(zerosIn(resumed.getPrunedMasks()), zerosIn(cell.getPrunedMasks()))
  for (const one of [cell, resumed]) t.true(one.update(3))
  t.is(resumed.getCurrentThreshold(), cell.getCurrentThreshold())
  t.deepEqual(zerosIn(resumed.getPrunedMasks()), zerosIn(cell.getPrunedMasks()))
  t.throws(() => resumed.loadStateDict({ currentThreshold: 0.1 } as never), { code: 'INVALID_ARGUMENT' })
  t.throws(() => resumed.loadStateDict({ currentThreshold: 2, tick: 0, samples: 0, acts: 1 }), { code: 'INVALID_ARGUMENT' })
})
