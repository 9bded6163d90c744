// Networks as programs of ours against the same ones in onnxruntime, both called from JavaScript.
import { noGrad } from '../../lib/autograd/index.js'
import { compile, Program } from '../../lib/compile/index.js'
import { trace } from '../../lib/graph/index.js'
import type { Module } from '../../lib/nn/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { tensor } from '../../lib/tensor/index.js'
import { onnxOf, session } from './onnx.js'
import { type Contender, inProcess, type Match } from './task.js'
import { noise, verifyClose } from './verify.js'

/** A model in evaluation mode on a batch, what it must give, and the ways to run it. */
export class Network {
  readonly x: Tensor
  readonly verify: Match['verify']

  /** @param quantised where its own evaluation, which sums integers, is what it must give; else that in float64 */
  constructor(
    readonly name: string,
    readonly model: Module,
    readonly input: readonly number[],
    readonly batch: number,
    { quantised = false } = {},
  ) {
    model.eval()
    const dims = [batch, ...input]
    const size = dims.reduce((product, dimension) => product * dimension, 1)
    this.x = tensor(noise(size, 3), dims)
    const given = noGrad(() => (quantised ? model.forward(this.x) : model.clone().to('float64').forward(this.x.to('float64'))))
    const expected = Float64Array.from(given.data)
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
    this.verify = (values) => verifyClose(values, expected, () => (quantised ? 1e-6 : 1e-5) * largest)
  }

  compiled(): Contender {
    const program = compile(this.model, { input: this.input, tune: [this.batch] })
    return { ...this.#running(() => program.run(this.x)), close: () => program.dispose() }
  }

  /** Reading the file, making weights and code ready in the formats that it says, and the first run. */
  loading(): Contender {
    using program = compile(this.model, { input: this.input, tune: [this.batch] })
    const bytes = program.toBytes()
    return this.#running(() => {
      using loaded = Program.from(bytes)
      return loaded.run(this.x)
    })
  }

  /** The same weights in onnxruntime, which multiplies by those that are 0 too. */
  onnxruntime(): Promise<Contender> {
    const graph = trace(this.model, { input: this.input })
    return session(onnxOf(graph, this.batch), { input: { data: this.x.data as Float32Array, dims: this.x.shape } }, graph.output.name)
  }

  /** A row of the report: this program against another network, or this one, elsewhere. */
  match(rival: string, other: Network, theirs: Match['theirs'], ours: Match['ours'] = () => this.compiled(), what = ''): Match {
    return { case: `${this.name}${what}`, rival, ours, theirs, verify: this.verify, verifyTheirs: other.verify }
  }

  #running(run: () => Tensor): Contender {
    let y = this.x
    return inProcess(
      () => {
        y = run()
      },
      () => y.data,
    )
  }
}
