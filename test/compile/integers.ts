// Quantised networks in every format that can be had, on the instruction set that the environment forces: the bits of
// the model's own evaluation in integers. Prints the kernels that worked.
import { compile, Generator, noGrad, Program, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import { formatsOf, inFormat } from '../support/formats.js'
import { quantNetworks } from '../support/quantNetworks.js'

const kernels = new Set<string>()

for (const [name, make] of Object.entries(quantNetworks)) {
  const { model, input, single } = make()
  const compiled = compile(model, { input })
  const formats = formatsOf(compiled)
  // Every network has convolutions and linear layers; large ones are not unrolled.
  for (const wanted of ['integer', 'integer columns', ...(single ? ['integer unrolled', 'dense', 'direct'] : [])])
    if (!formats.includes(wanted)) throw new Error(`${name}: no layer can be had in the format ${wanted}, but in ${formats}`)
  if (!single && formats.some((format) => !format.startsWith('integer'))) throw new Error(`${name}: can be had in ${formats}, which float32 does not hold`)
  for (const format of formats) {
    const program = inFormat(compiled, format)
    const again = Program.from(program.toBytes())
    const used = again.explain().steps.filter((step) => step.format === format)
    if (used.length === 0) throw new Error(`${name}: ${format} was not taken`)
    for (const { kernel = '' } of used) if (format.startsWith('integer')) kernels.add(kernel)
    if (program.run(tensor(new Float32Array(0), [0, ...input])).shape[0] !== 0) throw new Error(`${name}: a batch of none gives something`)
    for (const n of single ? [1, 3, 17, 64] : [1, 17]) {
      const x = new Generator(n).normal([n, ...input])
      const expected = noGrad(() => model.forward(x)).data
      for (const one of [program, again])
        for (const [i, value] of one.run(x).data.entries())
          if (value !== expected[i]) throw new Error(`${name}, ${format}, batch ${n}: value ${i} is ${value}, expected ${expected[i]}`)
    }
    program.dispose()
    again.dispose()
  }
}
console.log(JSON.stringify({ isa: native.isa(), kernels: [...kernels] }))
