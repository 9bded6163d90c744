// Trains a small network on the UCI digits, prunes it to a fan-in, quantises it to 4 bits, and proves
// how wide its accumulators must be.
//
//   npm run quickstart              reads like this file
//   npm run -s quickstart -- --json the last line is one JSON object
import Table from 'cli-table3'
import { accuracy, data, evaluate, fit, Generator, manualSeed, type nn, noGrad, ops, optim, prune, quant, type Tensor } from 'espalier'
import { QuantTinyCNN, TinyCNN } from './tinyCnn.js'

const json = process.argv.includes('--json')
const say = (text: string): void => (json ? console.error(text) : console.log(text))
const percent = (share: number): string => `${(100 * share).toFixed(2)}%`

const bits = 4
const active = 12
const epochs = { float: 60, quantised: 200 }
const began = performance.now()

// One seed fixes everything: initial weights, order of the samples, augmentation.
manualSeed(1)
const generator = new Generator(1)

// 1,347 digits to train on and 450 to test, pixels 0 … 16. In training they are turned, magnified and
// shifted a little, each time anew.
const { train, test } = data.digits()
const loader = new data.DataLoader(train, {
  batchSize: 64,
  shuffle: true,
  dropLast: true,
  generator,
  transform: data.compose(data.scale(1 / 16), data.randomAffine({ rotate: 8, scale: 0.08, shift: 0.3, probability: 0.8, generator })),
})
const [images, labels] = test.tensors
const testSet = new data.TensorDataset(images.mul(1 / 16), labels)

async function training(model: nn.Module, count: number, callbacks: { onStepEnd(): void }[] = []): Promise<number> {
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.01 })
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.01, totalSteps: count * loader.length, pctStart: 0.1, cycleMomentum: false })
  await fit(model, { train: loader, epochs: count, optimizer, loss: ops.crossEntropy, schedule, callbacks })
  return (await evaluate(model, testSet, { metrics: { accuracy } })).accuracy
}

say(`1. TinyCNN in floats, ${epochs.float} epochs`)
const floatAccuracy = await training(new TinyCNN(), epochs.float)
say(`   test accuracy ${percent(floatAccuracy)}\n`)

say(`2. The same in ${bits}-bit weights and activations, at most ${active} active inputs a neuron, ${epochs.quantised} epochs`)
const model = new QuantTinyCNN(bits)
// The masks are drawn anew after every step; masked weights go on learning, so that they may return.
const redraw = () => prune.togglePruning(model, true, { active, gradient: prune.straightThrough })
redraw()
const testAccuracy = await training(model, epochs.quantised, [{ onStepEnd: () => void redraw() }])
say(`   test accuracy ${percent(testAccuracy)}\n`)

say('3. Frozen: every accumulator proved from its integer weights, beside what the test set made of it')
quant.freeze(model)
const certificate = quant.certify(model)
certificate.verify()

const observed = new Map<nn.Module, quant.IntegerRange>()
const [inputs] = testSet.tensors
const fake = noGrad(() => model.forward(inputs))
const exact = noGrad(() =>
  quant.inIntegers(
    () => model.forward(inputs),
    (layer, sums) => observed.set(layer, quant.rangeOf(sums)),
  ),
)

const layers = certificate.layers.map(({ name, fanIn, maxActive, bits: accumulatorBits, min, max }) => {
  const seen = observed.get(model.getModule(name)) as quant.IntegerRange
  return { name, fanIn, maxActive, accumulatorBits, min, max, observedMin: seen.min, observedMax: seen.max }
})
const table = new Table({
  head: ['layer', 'fan-in', 'active', 'proved min', 'max', 'bits', 'observed min', 'max', 'bits'],
  style: { head: [], border: [] },
})
for (const layer of layers)
  table.push([
    layer.name,
    layer.fanIn,
    layer.maxActive,
    layer.min,
    layer.max,
    layer.accumulatorBits,
    layer.observedMin,
    layer.observedMax,
    quant.bitsFor(layer.observedMin, layer.observedMax),
  ])
say(`${table}\n`)

const classes = (logits: Tensor): ArrayLike<number> => ops.argmax(logits, { dim: 1 }).data
const [fakeClasses, exactClasses] = [classes(fake), classes(exact)]
const agreeing = Array.from(fakeClasses).filter((label, i) => label === exactClasses[i]).length
const integerAgreement = agreeing / fakeClasses.length
const seconds = (performance.now() - began) / 1000

say(`4. Test accuracy at ${bits} bits: ${percent(testAccuracy)} (in floats ${percent(floatAccuracy)})`)
say(`   The integer evaluation agrees with the fake-quantised network on ${agreeing} of ${fakeClasses.length} test images.`)
say(`   No accumulator of this network can leave ${certificate.bits} bits, whatever the input. ${seconds.toFixed(1)} s in all.`)

if (json) console.log(JSON.stringify({ floatAccuracy, testAccuracy, layers, certified: true, integerAgreement, seconds }))
