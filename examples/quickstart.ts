// Trains a small network on the UCI digits, then once more in whole numbers for accumulators of 8 bits, and proves
// that no input can overflow one.
//
//   npm run quickstart              reads like this file
//   npm run -s quickstart -- --json the last line is one JSON object
import Table from 'cli-table3'
import { accuracy, data, evaluate, fit, Generator, manualSeed, type nn, noGrad, ops, optim, quant, type Tensor } from 'espalier'
import { IntegerTinyCNN } from './integerCnn.js'
import { TinyCNN } from './tinyCnn.js'

const json = process.argv.includes('--json')
const say = (text: string): void => (json ? console.error(text) : console.log(text))
const percent = (share: number): string => `${(100 * share).toFixed(2)}%`

const accumulatorBits = 8
const epochs = { float: 60, integer: 250 }
const began = performance.now()

// One seed fixes everything: initial weights, order of the samples, augmentation.
manualSeed(1)
const generator = new Generator(1)

// 1,347 digits to train on and 450 to test, pixels 0 … 16. In training they are turned, magnified and
// shifted a little, each time anew.
const { train, test } = data.digits()
const scale = data.scale(1 / 16)
const loader = new data.DataLoader(train, {
  batchSize: 64,
  shuffle: true,
  dropLast: true,
  generator,
  transform: data.compose(scale, data.randomAffine({ rotate: 8, scale: 0.08, shift: 0.3, probability: 0.8, generator })),
})
const [images, labels] = test.tensors
const testSet = new data.TensorDataset(scale(images), labels)
const testAccuracyOf = async (model: nn.Module): Promise<number> => (await evaluate(model, testSet, { metrics: { accuracy } })).accuracy

say(`1. TinyCNN in floats, ${epochs.float} epochs`)
const float = new TinyCNN()
{
  const optimizer = new optim.Adam(float.parameters(), { lr: 0.01 })
  const schedule = new optim.OneCycleLR(optimizer, { maxLr: 0.01, totalSteps: epochs.float * loader.length, pctStart: 0.1, cycleMomentum: false })
  await fit(float, { train: loader, epochs: epochs.float, optimizer, loss: ops.crossEntropy, schedule })
}
const floatAccuracy = await testAccuracyOf(float)
say(`   test accuracy ${percent(floatAccuracy)}\n`)

say(`2. The same in whole numbers, for accumulators of ${accumulatorBits} bits, ${epochs.integer} epochs`)
// 3-bit codes between the layers, weights −3 … 3; biases are part of the sum.
const model = new IntegerTinyCNN({ accumulatorBits, codes: [7, 7, 7, 7], weightBits: 3 })
quant.startIntegers(model, scale(train.tensors[0].slice({ end: 200 })))
{
  // The rate rises for two epochs and falls as a cosine; after each step weights are brought back to what
  // the accumulators have room for.
  const optimizer = new optim.Adam(quant.integerGroups(model, 0.03), { betas: [0.9, 0.99] })
  const [rising, steps] = [2 * loader.length, epochs.integer * loader.length]
  const schedule = new optim.LambdaLR(optimizer, (step) =>
    step < rising ? (step + 1) / rising : 0.5 + 0.5 * Math.cos((Math.PI * (step - rising)) / (steps - rising)),
  )
  const callbacks = [{ onStepEnd: () => quant.projectBudgets(model) }]
  await fit(model, { train: loader, epochs: epochs.integer, optimizer, loss: ops.crossEntropy, schedule, scheduleEvery: 'step', callbacks })
}
const testAccuracy = await testAccuracyOf(model)
say(`   test accuracy ${percent(testAccuracy)}\n`)

say('3. Frozen: every accumulator proved from its integer weights, beside what the test set made of it')
quant.freeze(model)
const certificate = quant.certify(model)
certificate.verify({ bits: accumulatorBits })

const observed = new Map<nn.Module, quant.IntegerRange>()
const [inputs] = testSet.tensors
const fake = noGrad(() => model.forward(inputs))
const exact = noGrad(() =>
  quant.inIntegers(
    () => model.forward(inputs),
    (layer, sums) => observed.set(layer, quant.rangeOf(sums)),
  ),
)

const layers = certificate.layers.map(({ name, fanIn, maxActive, bits, min, max }) => {
  const seen = observed.get(model.getModule(name)) as quant.IntegerRange
  return { name, fanIn, maxActive, accumulatorBits: bits, min, max, observedMin: seen.min, observedMax: seen.max }
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

say(`4. Test accuracy at ${accumulatorBits} bits: ${percent(testAccuracy)} (in floats ${percent(floatAccuracy)})`)
say(`   The integer evaluation agrees with the fake-quantised network on ${agreeing} of ${fakeClasses.length} test images.`)
say(`   No accumulator of this network can leave ${certificate.bits} bits, whatever the input. ${seconds.toFixed(1)} s in all.`)

if (json) console.log(JSON.stringify({ floatAccuracy, testAccuracy, layers, certified: true, integerAgreement, seconds }))
