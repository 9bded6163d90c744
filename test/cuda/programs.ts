// Compiled networks on the device: what they give, in every format, from files of either device; runs that overlap;
// errors, and memory after them.
import { describe } from '../../lib/compile/describe.js'
import { Ref } from '../../lib/compile/plan.js'
import { functionsOf } from '../../lib/compile/program.js'
import { compile, cuda, type Device, Generator, manualSeed, nn, noGrad, Program, prune, quant, rand, scope, type Tensor, tensor } from '../../lib/index.js'
import { allocateOn, type DeviceArray } from '../../lib/native/index.js'
import { formatsOf, inFormat } from '../support/formats.js'
import { functions, lively, modules, of } from '../support/networks.js'
import { quantNetworks } from '../support/quantNetworks.js'
import { check, close, emulated, refused, require } from './harness.js'

// Of the norm, where sums go in another order.
const tolerance = 2e-4
const batches = [1, 3, 17]

const networks: [name: string, make: () => nn.Module, input: readonly number[]][] = [
  ...Object.entries(modules).map(([name, [make, input]]): [string, () => nn.Module, readonly number[]] => [name, () => lively(make()), input]),
  ...Object.entries(functions).map(([name, pass]): [string, () => nn.Module, readonly number[]] => [name, () => of(pass), [3, 5]]),
]

/** On batches of every size, from the device and from the CPU. */
function agree(there: Program, here: Program, what: string, allowed = tolerance, sizes = batches): void {
  for (const n of sizes) {
    const x = new Generator(n).normal([n, ...here.inputShape])
    const expected = here.run(x)
    const y = there.run(x.to('cuda'))
    require(y.device === 'cuda', 'the result is where the batch is')
    close(y, expected, allowed, `${what}, batch ${n}`, 0.01)
    const copied = there.run(x)
    require(copied.device === 'cpu', 'the result is where the batch is')
    close(copied, expected, allowed, `${what}, batch ${n} from the CPU`, 0.01)
    y.dispose()
  }
}

for (const [name, make, input] of networks)
  check(`program: ${name}`, () => {
    manualSeed(1)
    const model = make()
    using here = compile(model, { input })
    using there = compile(model, { input, device: 'cuda' })
    require(there.device === 'cuda' && here.device === 'cpu', 'each is where it was compiled for')
    agree(there, here, name)
    using loaded = Program.from(here.toBytes(), { device: 'cuda' })
    agree(loaded, here, `${name}, loaded`, tolerance, [3])
    using back = Program.from(there.toBytes())
    close(back.run(tensor(new Float32Array(0), [0, ...input])), here.run(tensor(new Float32Array(0), [0, ...input])), 0, 'a batch of none')
    require(Buffer.compare(here.toBytes(), there.toBytes()) === 0, 'a file is the same from both')
  })

check('program: a model that is on the device', () => {
  manualSeed(3)
  const model = lively(new nn.Sequential(new nn.Conv2d(2, 4, 3), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.Flatten(), new nn.Linear(64, 5)))
  using here = compile(model, { input: [2, 6, 6] })
  model.to('cuda')
  using there = compile(model, { input: [2, 6, 6], device: 'cuda' })
  using from = compile(model, { input: [2, 6, 6] })
  agree(there, here, 'compiled there')
  close(from.run(rand([2, 2, 6, 6]).mul(0)), here.run(rand([2, 2, 6, 6]).mul(0)), 1e-5, 'compiled from there')
})

/** Whole tiles of 32×32 gone but every `nth`. */
function pruneTiles(layer: nn.Linear, nth: number): nn.Linear {
  const [rows, columns] = layer.weight.shape
  nn.setMask(
    layer,
    'weight',
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => +((Math.floor(i / columns / 32) + Math.floor((i % columns) / 32)) % nth === 0)),
      [rows, columns],
    ),
  )
  return layer
}

check('program: every format of every layer', () => {
  manualSeed(4)
  const unstructured = new nn.Linear(96, 64)
  prune.l1Unstructured(unstructured, 'weight', 0.9)
  const fanIn = new nn.Linear(64, 40)
  nn.setMask(fanIn, 'weight', nn.fanInMask(fanIn.weight, 5))
  const conv = new nn.Conv2d(2, 6, 3)
  prune.l1Unstructured(conv, 'weight', 0.8)
  const model = new nn.Sequential(
    ...[conv, new nn.ReLU(), new nn.Flatten(), pruneTiles(new nn.Linear(96, 96), 3), new nn.ReLU()],
    ...[unstructured, fanIn, new nn.ReLU(), pruneTiles(new nn.Linear(40, 10), 1)],
  )
  const input = [2, 6, 6]
  using here = compile(model, { input })
  using there = compile(model, { input, device: 'cuda' })
  const formats = formatsOf(there)
  for (const wanted of ['gemm', 'implicit gemm', 'tiles', 'elements', 'unrolled elements'])
    require(formats.includes(wanted), `a layer can be had in the format ${wanted}`)
  for (const format of formats) {
    using program = inFormat(there, format)
    require(program.explain().steps.some((step) => step.format === format && step.kernel !== undefined && (step.bytes ?? 0) > 0), `${format} is taken`)
    agree(program, here, format)
  }
  there.tune(1, 17)
  agree(there, here, 'tuned')
  require(there.explain({ batch: 17 }).steps.every(({ format, tuned }) => format === undefined || tuned === true), 'every layer is tuned')
})

check('program: quantised networks give the bits of their evaluation, in every format', () => {
  for (const [name, make] of Object.entries(quantNetworks)) {
    const { model, input, single } = make()
    using there = compile(model, { input, device: 'cuda' })
    const formats = formatsOf(there)
    // Sums that float32 does not hold are made in float64.
    require(single === formats.includes('gemm') && formats.includes('gemm float64'), `${name}: the formats are ${formats}`)
    for (const format of formats) {
      using program = inFormat(there, format)
      for (const n of [1, 17]) {
        const x = new Generator(n).normal([n, ...input])
        close(
          program.run(x),
          noGrad(() => model.forward(x)),
          0,
          `${name}, ${format}`,
        )
      }
    }
    using here = compile(model, { input })
    require(String(quant.certify(there)) === String(quant.certify(here)), `${name}: the same certificate`)
  }
})

check('program: layers on codes that are 2:4 sum bytes', () => {
  // x is whole already; two of four neighbours are kept.
  const rows = 24
  const columns = 64
  const random = new Generator(8)
  const weight = random
    .normal([rows, columns])
    .mul(40)
    .round()
    .clamp(-128, 127)
    .data.map((value, i) => (i % 4 < 2 ? value : 0)) as Float32Array
  const [x, y] = [new Ref([1, columns]), new Ref([1, rows])]
  const bias = Float32Array.from({ length: rows }, (_, i) => i * 1000 - 7)
  const description = describe({
    input: x,
    output: y,
    outputShape: [1, rows],
    steps: [
      {
        layer: 'fc',
        operation: 'linear',
        x,
        y,
        work: { kind: 'linear', rows, columns, vectors: 1, weight, bias, relu: true, exact: true, codes: { min: -128, max: 127 } },
      },
    ],
  })
  using here = new Program(functionsOf('cpu').programCreate(description))
  using there = new Program(functionsOf('cuda').programCreate(description), 'cuda')
  using twoFour = inFormat(there, '2:4')
  require(twoFour.explain().steps[0].format === '2:4', '2:4 is taken')
  for (const n of [1, 8, 33]) {
    const codes = random.normal([n, columns]).mul(50).round().clamp(-128, 127)
    for (const program of [there, twoFour]) close(program.run(codes), here.run(codes), 0, `batch ${n}`)
    // What is no code counts as the nearest one, as on the CPU.
    const beyond = codes.mul(100)
    close(twoFour.run(beyond), here.run(beyond.clamp(-128, 127)), 0, `batch ${n}, beyond the codes`)
  }
})

check('program: files keep what was measured on either device', () => {
  manualSeed(5)
  const layer = new nn.Linear(64, 32)
  prune.l1Unstructured(layer, 'weight', 0.9)
  using here = compile(layer, { input: [64], tune: [4] })
  using there = Program.from(here.toBytes(), { device: 'cuda' }).tune(4)
  using back = Program.from(there.toBytes())
  using again = Program.from(back.toBytes(), { device: 'cuda' })
  const told = (program: Program) => JSON.stringify(program.explain({ batch: 4 }).steps.map(({ format, tuned }) => [format, tuned]))
  require(told(back) === told(here) && told(again) === told(there), `${told(back)} = ${told(here)}, ${told(again)} = ${told(there)}`)
})

check('program: it is explained', () => {
  const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Softmax(-1))
  using program = compile(model, { input: [64], device: 'cuda' })
  const { isa, steps, together } = program.explain({ batch: 5, repeats: 3 })
  require(/^sm_\d+$/.test(isa) && together === 5, `isa is ${isa}, ${together} samples go together`)
  require(steps[0].operation === 'linear, relu' && steps[0].format === 'gemm' && (steps[0].predicted ?? 0) > 0, 'the layer')
  require(steps.every(({ measured = 0 }) => measured > 0), 'every step is measured')
})

check('program: runs off the event loop', async () => {
  manualSeed(6)
  const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10))
  using here = compile(model, { input: [1, 8, 8] })
  using program = compile(model, { input: [1, 8, 8], device: 'cuda' })
  const inputs = [1, 3, 17, 64, 2].map((n) => rand([n, 1, 8, 8]))
  const runs = inputs.map((x, i) => {
    if (i % 2 === 0) return program.runAsync(x)
    // x is not needed any more once the call returned; nor may the end of a scope take what the run has.
    return scope(() => {
      const there = x.to('cuda')
      const run = program.runAsync(there)
      there.dispose()
      return run
    })
  })
  // Results come by the event loop: none is there before it has turned.
  let early = false
  runs[0].then(() => (early = true))
  await null
  require(!early, 'a run is not waited for')
  for (const [i, x] of inputs.entries()) {
    const y = await runs[i]
    require(y.device === (i % 2 === 0 ? 'cpu' : 'cuda'), 'the result is where the batch is')
    close(y, here.run(x), tolerance, `run ${i}`, 0.01)
  }
  await cuda.settled()
  // A program that is disposed of while a run is under way.
  const other = compile(model, { input: [1, 8, 8], device: 'cuda' })
  const last = other.runAsync(inputs[2])
  other.dispose()
  close(await last, here.run(inputs[2]), tolerance, 'disposed of meanwhile', 0.01)
})

check('program: what is refused', async () => {
  const model = new nn.Linear(4, 3)
  using here = compile(model, { input: [4] })
  const there = compile(model, { input: [4], device: 'cuda' })
  refused('DEVICE_MISMATCH', () => here.run(rand([1, 4]).to('cuda')))
  refused('SHAPE_MISMATCH', () => there.run(rand([1, 5]).to('cuda')))
  refused('DTYPE_MISMATCH', () => there.run(rand([1, 4]).to('float64')))
  if (cuda.whyMissing() === null && emulated()) {
    refused('DEVICE_MISMATCH', () => there.run(rand([1, 4]).to('cuda:1')))
    using second = compile(model, { input: [4], device: 'cuda:1' })
    const x = rand([2, 4])
    close(second.run(x.to('cuda:1')), here.run(x), tolerance, 'on the second device')
    close(second.run(x), here.run(x), tolerance, 'on the second device, from the CPU')
    close(await second.runAsync(x), here.run(x), tolerance, 'on the second device, off the event loop')
  }
  refused('DEVICE_MISSING', () => compile(model, { input: [4], device: 'cuda:63' }))
  refused('INVALID_ARGUMENT', () => Program.from(here.toBytes(), { device: 'gpu' as Device }))
  const gone = rand([1, 4]).to('cuda')
  gone.dispose()
  refused('STATE', () => there.run(gone))
  const bytes = here.toBytes()
  bytes[bytes.length - 1] ^= 1
  refused('FORMAT', () => Program.from(bytes, { device: 'cuda' }))
  for (let cut = 0; cut < bytes.length; cut += 7) refused('FORMAT', () => Program.from(here.toBytes().subarray(0, cut), { device: 'cuda' }))
  there.dispose()
  refused('STATE', () => there.run(rand([1, 4])))
  await there.runAsync(rand([1, 4])).then(
    () => require(false, 'a program that was disposed of refuses'),
    (error) => require(error.code === 'STATE', `STATE instead of ${error.code}`),
  )
})

check('program: a description with a bit turned runs or is refused', () => {
  const model = new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.MaxPool2d(2), new nn.Flatten(), new nn.Linear(12, 4), new nn.LayerNorm(4), new nn.Softmax(-1))
  using whole = compile(model, { input: [2, 6, 6] })
  const body = whole.toBytes().subarray(24)
  const x = rand([1, 2, 6, 6]).to('cuda')
  const random = new Generator(9)
  for (let i = 0; i < 400; i++) {
    const damaged = body.slice()
    const [at, bit] = random.uniform([2]).data
    damaged[Math.floor(at * damaged.length)] ^= 1 << Math.floor(bit * 8)
    try {
      using program = new Program(functionsOf('cuda').programCreate(damaged), 'cuda')
      program.run(x).dispose()
      cuda.synchronize()
    } catch (error) {
      require(['INVALID_ARGUMENT', 'SHAPE_MISMATCH', 'DTYPE_MISMATCH', 'OUT_OF_MEMORY'].includes(
        (error as { code: string }).code,
      ), `${error} is an error of the file`)
    }
  }
})

check('program: it reads nothing that others left on the device', () => {
  // A value that is written in part: the rest of it is what the memory held.
  const [x, y] = [new Ref([1, 4]), new Ref([1, 64])]
  const view = { strides: [1], offset: 0 }
  const description = describe({
    input: x,
    output: y,
    outputShape: [1, 64],
    steps: [{ layer: '', operation: 'part', x, y, work: { kind: 'move', dims: [4], from: view, to: view } }],
  })
  using program = new Program(functionsOf('cuda').programCreate(description), 'cuda')
  rand([1024]).to('cuda').dispose()
  const { data } = program.run(tensor([[1, 2, 3, 4]]))
  require(data.every((value, i) => value === (i < 4 ? i + 1 : 0)), `[${data}]: nothing but 1, 2, 3, 4`)
})

check('program: its memory comes back', async () => {
  cuda.emptyCache()
  const before = cuda.memory().used
  const model = new nn.Sequential(new nn.Conv2d(1, 8, 3), new nn.ReLU(), new nn.Flatten(), new nn.Linear(288, 10), new nn.LayerNorm(10))
  const program = compile(model, { input: [1, 8, 8], device: 'cuda' })
  program.run(rand([5, 1, 8, 8]))
  const held = cuda.memory().used
  require(held > before, 'it holds its weights')
  program.run(rand([64, 1, 8, 8]))
  await program.runAsync(rand([9, 1, 8, 8]))
  program.explain({ batch: 3, repeats: 2 })
  require(cuda.memory().used === held, `${cuda.memory().used} bytes are used after runs, ${held} before`)
  // Tuning may add weights in another format, which it found faster for this batch size; runs add nothing to them.
  program.tune(4)
  program.run(rand([4, 1, 8, 8]))
  program.run(rand([64, 1, 8, 8]))
  const tuned = cuda.memory().used
  program.run(rand([5, 1, 8, 8]))
  await program.runAsync(rand([4, 1, 8, 8]))
  require(cuda.memory().used === tuned, `${cuda.memory().used} bytes are used after runs, ${tuned} before`)
  program.dispose()
  require(cuda.memory().used === before, `${cuda.memory().used} bytes are used at the end, ${before} at the beginning`)
})

check('program: out of memory at any point of a run, which leaves nothing behind', async () => {
  // The emulation has a small memory that ends to the byte.
  if (!emulated()) return
  const { model, input } = Object.values(quantNetworks)
    .map((make) => make())
    .find(({ single }) => !single)!
  using program = compile(model, { input, device: 'cuda' })
  const batch = 64
  const x = new Generator(1).normal([batch, ...input]).to('cuda')
  const expected = program.run(x).to('cpu')
  const arena = program.explain({ batch }).memory * batch
  cuda.emptyCache()
  const { used } = cuda.memory()
  const bytes = 4 * expected.size
  // Almost all of it is taken for good; what room is left, up to some of it, by a smaller piece.
  const most = 4 * arena
  const large = allocateOn('cuda', 'uint8', 2 ** 30 - used - most)
  const leaving = (room: number): DeviceArray => allocateOn('cuda', 'uint8', most - room)
  const taken = cuda.memory().used
  let failures = 0
  let midway = 0
  let succeeded = false
  for (let room = 0; !succeeded; room += Math.ceil(arena / 24)) {
    const hog = leaving(room)
    let y: Tensor | null = null
    try {
      y = program.run(x)
      succeeded = true
    } catch (error) {
      require((error as { code: string }).code === 'OUT_OF_MEMORY', `${error} is OUT_OF_MEMORY`)
      failures++
      // The working memory was had, and something behind it was not.
      if (room > arena + bytes) midway++
      await program.runAsync(x).then(
        () => require(false, 'there is no memory off the event loop either'),
        (cause) => require(cause.code === 'OUT_OF_MEMORY', `${cause} is OUT_OF_MEMORY`),
      )
    }
    hog.dispose()
    if (y !== null) {
      close(y, expected, 0, 'the result')
      y.dispose()
    }
    require(cuda.memory().used === taken, `${cuda.memory().used} bytes are used with ${room} free, ${taken} before`)
  }
  require(failures > 20 && midway > 0, `${failures} failures, ${midway} of them midway`)
  // And on the way to be loaded.
  const file = program.toBytes()
  for (let room = 0; room < 4096; room += 64) {
    const hog = leaving(room)
    try {
      Program.from(file, { device: 'cuda' }).dispose()
    } catch (error) {
      require((error as { code: string }).code === 'OUT_OF_MEMORY', `${error} is OUT_OF_MEMORY`)
    }
    hog.dispose()
    require(cuda.memory().used === taken, `${cuda.memory().used} bytes are used after loading, ${taken} before`)
  }
  large.dispose()
})
