// torch.ao's sparsifier and schedule: masks and levels that PyTorch 1.13 gave.
import test from 'ava'
import { Generator, nn, ops, prune } from '../../lib/index.js'

const weights = [
  [0.9, -0.1, 0.3, -0.7, 0.2, 0.8, -0.05, 0.6],
  [0.15, 0.25, -0.35, 0.45, 1.1, -1.2, 0.01, 0.02],
  [-0.5, 0.55, 0.65, -0.75, 0.85, 0.95, -0.11, 0.12],
  [0.13, 0.14, -0.16, 0.17, 0.18, 0.19, -0.21, 0.22],
]
function layerOf(): nn.Linear {
  const layer = new nn.Linear(8, 4, { bias: false })
  layer.weight.data.set(weights.flat())
  return layer
}
const rows = (layer: nn.Module): string[] => (nn.maskOf(layer, 'weight')!.toArray() as number[][]).map((row) => row.join(''))

for (const [options, masks] of [
  [{}, ['11110000', '00001111', '11111111', '00000000']],
  [{ sparsityLevel: 1, zerosPerBlock: 2 }, ['10010101', '00111100', '00111100', '00110011']],
  [{ sparsityLevel: 0.3 }, ['11111111', '11111111', '11111111', '00000000']],
  [{ sparsityLevel: 0.5, sparseBlockShape: [2, 2] }, ['00111100', '00111100', '00111100', '00111100']],
  [{ sparsityLevel: 0.5, sparseBlockShape: [2, 4], zerosPerBlock: 3 }, ['10111111', '00111111', '11111111', '00011111']],
  [{ sparsityLevel: 0.9, norm: 1 }, ['00000000', '00000000', '11110000', '00000000']],
  [{ sparsityLevel: 0.25, zerosPerBlock: 1 }, ['11111111', '11111111', '11111111', '01110111']],
  [{ sparsityLevel: 0.99, sparseBlockShape: [4, 4] }, ['00001111', '00001111', '00001111', '00001111']],
  [{ sparsityLevel: 1 }, ['00000000', '00000000', '00000000', '00000000']],
  [{ sparsityLevel: 0 }, ['11111111', '11111111', '11111111', '11111111']],
  [{ sparsityLevel: 0.5, sparseBlockShape: [1, 1], norm: 1 }, ['10110101', '01111100', '11111100', '00000000']],
] as const)
  test(`WeightNormSparsifier ${JSON.stringify(options)}`, (t) => {
    const layer = layerOf()
    const sparsifier = new prune.WeightNormSparsifier(options)
    sparsifier.prepare(new nn.Sequential(layer, new nn.ReLU()))
    t.deepEqual(rows(layer), Array(4).fill('1'.repeat(8)))
    sparsifier.step()
    t.deepEqual(rows(layer), [...masks])
  })

test('blocks cut short by an edge: ranked by the mean of what they have, losing as many weights if they have them', (t) => {
  const random = new Generator(3)
  for (const [shape, block] of [
    [
      [5, 7],
      [2, 3],
    ],
    [
      [3, 10],
      [1, 4],
    ],
    [
      [7, 4],
      [4, 2],
    ],
    [
      [2, 2],
      [3, 3],
    ],
    [
      [4, 2, 3, 3],
      [3, 4],
    ],
  ] as const)
    for (const sparsityLevel of [0, 0.3, 0.5, 0.9, 1])
      for (const zerosPerBlock of new Set([1, 2, block[0] * block[1] - 1, block[0] * block[1]])) {
        const layer = shape.length === 2 ? new nn.Linear(shape[1], shape[0]) : new nn.Conv2d(shape[1], shape[0], 3)
        const [height, width] = [shape[0], shape.slice(1).reduce((product: number, size: number) => product * size, 1)]
        layer.weight.data.set(random.normal([height * width]).data)
        const weights = Array.from(layer.weight.data as Float32Array)
        const sparsifier = new prune.WeightNormSparsifier({ sparsityLevel, sparseBlockShape: block, zerosPerBlock })
        sparsifier.prepare(layer, [{ tensorFqn: 'weight' }])
        sparsifier.step()
        // The definition in plain loops: blocks by place, row by row.
        const blocks: { places: number[]; mean: number }[] = []
        for (let top = 0; top < height; top += block[0])
          for (let left = 0; left < width; left += block[1]) {
            const places: number[] = []
            for (let i = top; i < Math.min(top + block[0], height); i++)
              for (let j = left; j < Math.min(left + block[1], width); j++) places.push(i * width + j)
            blocks.push({ places, mean: places.reduce((sum, place) => sum + weights[place] ** 2, 0) / places.length })
          }
        const round = (x: number): number => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x))
        const falling = sparsityLevel === 1 ? blocks.length : Math.min(round(sparsityLevel * blocks.length), blocks.length - 1)
        const expected = new Array<number>(weights.length).fill(1)
        for (const { places } of blocks.sort((a, b) => a.mean - b.mean).slice(0, falling))
          for (const place of places.sort((a, b) => Math.abs(weights[a]) - Math.abs(weights[b])).slice(0, zerosPerBlock)) expected[place] = 0
        t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), expected, `${shape} in ${block}, level ${sparsityLevel}, ${zerosPerBlock} zeros`)
      }
})

test('a weight by name, with settings of its own; a norm of one’s own; convolutions', (t) => {
  const [fc, conv] = [layerOf(), new nn.Conv2d(4, 2, 3)]
  const model = new nn.Sequential({ conv, relu: new nn.ReLU(), fc })
  const sparsifier = new prune.WeightNormSparsifier({ norm: (weight) => ops.neg(ops.abs(weight)) })
  sparsifier.prepare(model, [{ tensorFqn: 'fc.weight', sparsityLevel: 1, zerosPerBlock: 1 }, { tensorFqn: 'conv.weight' }])
  sparsifier.step()
  t.deepEqual(rows(fc), ['01111011', '11101011', '11101011', '11101110'], 'the largest of each four')
  t.is(nn.maskOf(conv, 'weight')?.data.filter((entry: number) => entry === 0).length, 36)
  sparsifier.squashMask()
  t.false(prune.isPruned(model))
  t.is(fc.weight.data[0], 0)
})

test('2:4: no group of four keeps more than two; what fell falls again', (t) => {
  const layer = new nn.Linear(64, 16)
  const sparsifier = new prune.WeightNormSparsifier({ sparsityLevel: 1, zerosPerBlock: 2 })
  sparsifier.prepare(layer)
  sparsifier.step()
  const before = Array.from(nn.maskOf(layer, 'weight')!.data)
  for (let i = 0; i < 1024; i += 4)
    t.is(
      before?.slice(i, i + 4).reduce((sum: number, entry: number) => sum + entry),
      2,
    )
  sparsifier.step()
  t.deepEqual(Array.from(nn.maskOf(layer, 'weight')!.data), before)
})

for (const [initiallyZero, first] of [
  [false, 0.2],
  [true, 0],
] as const)
  test(`CubicSL, ${initiallyZero ? 'from 0' : 'from the first level'}`, (t) => {
    const sparsifier = new prune.WeightNormSparsifier({ sparsityLevel: 0.8 })
    sparsifier.prepare(layerOf())
    const schedule = new prune.CubicSL(sparsifier, { initSl: 0.2, initT: 2, deltaT: 2, totalT: 4, initiallyZero })
    const levels = Array.from({ length: 13 }, () => {
      const [level] = schedule.getLastSl()
      t.is(sparsifier.groups[0].sparsityLevel, level)
      schedule.step()
      return Number(level.toFixed(6))
    })
    t.deepEqual(levels, [first, first, 0.2, 0.398047, 0.546875, 0.653516, 0.725, 0.768359, 0.790625, 0.798828, 0.8, 0.8, 0.8])
  })

test('bad calls are refused and change nothing', (t) => {
  for (const bad of [
    { sparsityLevel: 1.1 },
    { sparsityLevel: Number.NaN },
    { sparseBlockShape: [0, 4] },
    { sparseBlockShape: 4 },
    { zerosPerBlock: 5 },
    { zerosPerBlock: -1 },
    { norm: 3 },
  ])
    t.throws(() => new prune.WeightNormSparsifier(bad as object), { code: 'INVALID_ARGUMENT' }, JSON.stringify(bad))
  const layer = layerOf()
  const model = new nn.Sequential(layer)
  t.throws(() => new prune.WeightNormSparsifier().step(), { code: 'STATE' })
  t.throws(() => new prune.CubicSL(new prune.WeightNormSparsifier()), { code: 'STATE' })
  t.throws(() => new prune.WeightNormSparsifier().prepare(new nn.ReLU()), { code: 'INVALID_ARGUMENT' })
  for (const entry of [{ tensorFqn: '1.weight' }, { tensorFqn: '0.kernel' }, {}, { tensorFqn: '0.weight', sparsityLevel: 2 }])
    t.throws(() => new prune.WeightNormSparsifier().prepare(model, [{ tensorFqn: '0.weight' }, entry as { tensorFqn: string }]), { name: 'EspalierError' })
  t.throws(() => new prune.WeightNormSparsifier().prepare(model, [{ tensorFqn: '0.weight' }, { tensorFqn: '0.weight' }]), { code: 'INVALID_ARGUMENT' })
  t.false(prune.isPruned(model))

  const flat = new prune.WeightNormSparsifier()
  const norm = new nn.BatchNorm1d(8)
  flat.prepare(norm, [{ tensorFqn: 'weight' }])
  t.throws(() => flat.step(), { code: 'SHAPE_MISMATCH' })
  const sparsifier = new prune.WeightNormSparsifier({ sparseBlockShape: [1, 4] })
  sparsifier.prepare(model)
  sparsifier.groups[0].sparsityLevel = 2
  t.throws(() => sparsifier.step(), { code: 'INVALID_ARGUMENT' })
  sparsifier.groups[0].sparsityLevel = 0.5
  layer.latentWeight('weight').data[3] = Number.NaN
  t.throws(() => sparsifier.step(), { code: 'INVALID_ARGUMENT' })
  t.deepEqual(rows(layer), Array(4).fill('1'.repeat(8)))
  t.throws(() => new prune.CubicSL(sparsifier, { deltaT: 0 }), { code: 'INVALID_ARGUMENT' })
  t.is(sparsifier.groups[0].sparsityLevel, 0.5)
})
