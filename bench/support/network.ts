// A network as a program of ours against the same one in onnxruntime, both called from JavaScript.
import { compile } from '../../lib/compile/index.js'
import { trace } from '../../lib/graph/index.js'
import type { Module } from '../../lib/nn/index.js'
import type { Tensor } from '../../lib/tensor/index.js'
import { tensor } from '../../lib/tensor/index.js'
import { onnxOf, session } from './onnx.js'
import { type Contender, inProcess, type Match } from './task.js'
import { noise, verifyClose } from './verify.js'

/** Both sides have the same weights; onnxruntime multiplies by those that are 0 too. */
export function networkMatch(name: string, model: Module, input: readonly number[], batch: number): Match {
  model.eval()
  const dims = [batch, ...input]
  const x = tensor(
    noise(
      dims.reduce((size, dimension) => size * dimension, 1),
      3,
    ),
    dims,
  )
  const exact = model.clone().to('float64')
  const expected = exact.forward(x.to('float64')).data as Float64Array
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  return {
    case: name,
    rival: 'onnxruntime-node, dense',
    verify: (values) => verifyClose(values, expected, () => 1e-5 * largest),
    ours: () => compiled(model, input, x),
    theirs: () => {
      const graph = trace(model, { input })
      return session(onnxOf(graph, batch), { input: { data: x.data as Float32Array, dims } }, graph.output.name)
    },
  }
}

function compiled(model: Module, input: readonly number[], x: Tensor): Contender {
  const program = compile(model, { input, tune: [x.shape[0]] })
  let y = x
  const contender = inProcess(
    () => {
      y = program.run(x)
    },
    () => y.data,
  )
  return { ...contender, close: () => program.dispose() }
}
