import test from 'ava'
import { EspalierError, manualSeed, nn, noGrad, ops, quant, rand, randn, type Tensor } from '../../lib/index.js'

function network(seed: number): { model: nn.Sequential; x: Tensor } {
  manualSeed(seed)
  const model = new nn.Sequential(
    new nn.Conv2d(1, 6, 3),
    new nn.BatchNorm2d(6),
    new nn.ReLU(),
    new nn.Conv2d(6, 8, 3),
    new nn.ReLU(),
    new nn.Flatten(),
    new nn.Linear(8 * 16, 4),
  )
  return { model: model.eval(), x: rand([40, 1, 8, 8]) }
}

const off = (model: nn.Module, float: nn.Module, x: Tensor): number => noGrad(() => ops.mseLoss(model.forward(x), float.forward(x)).item())

test('the widths found fit the accumulators, and serve better than the worst of those they were chosen from', async (t) => {
  const { model, x } = network(1)
  for (const accumulatorBits of [7, 10]) {
    const { layers, choices, score } = await quant.searchWidths(model, { data: x, accumulatorBits })
    t.is(score, null)
    t.deepEqual(Object.keys(layers), ['0', '3', '6'])
    const found = quant.quantise(model, { data: x, layers })
    quant.certify(found).verify({ bits: accumulatorBits })
    const worst = Object.fromEntries(Object.entries(choices).map(([name, list]) => [name, { ...list.at(-1), accumulatorBits }]))
    for (const list of Object.values(choices)) t.true(list.every(({ error }, i) => i === 0 || error >= list[i - 1].error))
    t.true(off(found, model, x) < off(quant.quantise(model, { data: x, layers: worst }), model, x))
  }
})

test('narrow accumulators get narrow inputs; the same call gives the same widths', async (t) => {
  const { model, x } = network(2)
  const widths = async (accumulatorBits: number): Promise<number> => {
    const { layers } = await quant.searchWidths(model, { data: x, accumulatorBits })
    t.deepEqual((await quant.searchWidths(model, { data: x, accumulatorBits })).layers, layers)
    return Object.values(layers).reduce((sum, { activationBits }) => sum + activationBits, 0)
  }
  t.true((await widths(7)) < (await widths(14)))
})

test('layers fed by one ReLU have one width of inputs', async (t) => {
  class Fork extends nn.Module {
    stem = new nn.Linear(8, 10)
    act = new nn.ReLU()
    small = new nn.Linear(10, 3)
    large = new nn.Linear(10, 3)
    override forward(x: Tensor): Tensor {
      const y = this.act.forward(this.stem.forward(x))
      return this.small.forward(y).add(this.large.forward(y))
    }
  }
  manualSeed(3)
  const model = new Fork()
  const x = randn([50, 8])
  const { layers } = await quant.searchWidths(model, { data: x, accumulatorBits: (name) => (name === 'small' ? 6 : 12) })
  t.is(layers.small.activationBits, layers.large.activationBits)
  t.is(layers.large.accumulatorBits, 12)
  const certificate = quant.certify(quant.quantise(model, { data: x, layers }))
  t.true((certificate.layers.find(({ name }) => name === 'small')?.bits ?? 99) <= 6)
})

test('with a score the whole network decides, and never for worse', async (t) => {
  const { model, x } = network(4)
  let calls = 0
  const score = async (candidate: nn.Module): Promise<number> => {
    calls++
    return -off(candidate, model, x)
  }
  const options = { data: x, accumulatorBits: 8, weightBits: [2, 4], activationBits: [2, 3] }
  const start = quant.quantise(model, { data: x, layers: (await quant.searchWidths(model, options)).layers })
  const { layers, score: reached } = await quant.searchWidths(model, { ...options, score, tries: 2 })
  t.true(calls > 1 && calls <= 1 + 3 * 2)
  t.is(reached, -off(quant.quantise(model, { data: x, layers }), model, x))
  t.true((reached as number) >= -off(start, model, x))
  await t.throwsAsync(quant.searchWidths(model, { ...options, score: () => Number.NaN }), { instanceOf: EspalierError })
})

test('what cannot be searched is refused', async (t) => {
  const { model, x } = network(5)
  const bad = x.copy()
  bad.data[3] = Number.NaN
  const before = (model.at(0) as nn.Conv2d).weight.data.slice()
  for (const options of [
    { data: bad, accumulatorBits: 8 },
    { data: x, accumulatorBits: 1 },
    { data: x, accumulatorBits: 8, weightBits: [] },
    { data: x, accumulatorBits: 8, weightBits: [9] },
    { data: x, accumulatorBits: 8, activationBits: [0] },
    { data: x, accumulatorBits: 2, activationBits: [6] },
    { data: x, accumulatorBits: 8, tries: 0 },
  ])
    await t.throwsAsync(quant.searchWidths(model, options), { instanceOf: EspalierError, code: 'INVALID_ARGUMENT' })
  await t.throwsAsync(quant.searchWidths(model, { data: x, accumulatorBits: 2, activationBits: [3] }), { message: /accumulatorBits of 0 is 2.*at least 4$/ })
  t.deepEqual((model.at(0) as nn.Conv2d).weight.data, before)
})
