import { noGrad, traced } from '../../autograd/index.js'
import { describe, EspalierError, ensure } from '../../native/index.js'
import type { Module } from '../../nn/index.js'
import { concat } from '../../ops/index.js'
import { formatShape, Generator, type Shape, sameShape, Tensor } from '../../tensor/index.js'
import { recordingLayers } from '../integer.js'
import { IntegerProgram } from './program.js'
import { Reader } from './reader.js'

export interface IntegerNetworkOptions {
  /** Some inputs [n, …] on the CPU, or the shape of one: the forward pass is read from these, and the program tried on them. */
  input: Tensor | Shape
}

/**
 * A frozen network as a program that runs on integers alone. Its products are those of integer codes, and
 * between an accumulator and the next codes there are comparisons with integers, found by asking the
 * forward pass where its codes change: the outputs are the forward pass's, bit for bit, batch norms and
 * float biases included. In front of the first quantiser and behind the last integers stay floats.
 *
 * What lies between an accumulator and the next quantiser may be scales, biases, batch norms, ReLU and
 * whatever else is monotone element by element, sums with other codes (residual connections), maxima of
 * windows, and changes of shape.
 *
 * @throws EspalierError STATE for a model that trains or that has a layer with inputs that are not
 *   quantised; INVALID_ARGUMENT for one with a part that has no integer form, which is named
 * @example
 * ```ts
 * import { nn, noGrad, qnn, quant, rand } from 'espalier'
 * const model = new nn.Sequential(
 *   new qnn.QuantIdentity({ bits: 4, signed: false }),
 *   new qnn.QuantLinear(16, 8, { weightBits: 4 }),
 *   new qnn.QuantReLU({ bits: 4 }),
 *   new qnn.QuantLinear(8, 3, { weightBits: 4, biasBits: 8 }),
 * )
 * model.forward(rand([32, 16]))
 * const program = quant.integerNetwork(quant.freeze(model), { input: [16] })
 * const x = rand([5, 16])
 * const { output, integers } = program.run(x) // output: exactly model.forward(x); integers: accumulators [5, 3]
 * const narrow = program.run(x, { registers: { bits: 8, overflow: 'saturate' } })
 * narrow.overflows // for each layer that had any: how many, of how many neurons, and the first
 * ```
 */
export function integerNetwork(model: Module, { input }: IntegerNetworkOptions): IntegerProgram {
  const training = [...model.namedModules()].find(([, module]) => module.training)
  ensure(training === undefined, 'STATE', () => `integerNetwork: ${training?.[0] || 'the model'} is in training mode; freeze the model first`)
  ensure(
    input instanceof Tensor || Array.isArray(input),
    'INVALID_ARGUMENT',
    () => `integerNetwork: input is ${describe(input)}, expected a tensor of some inputs or the shape of one`,
  )
  // (A generator of its own: reading a network changes nothing of what is drawn after it.)
  const x = input instanceof Tensor ? input.detach() : new Generator(0).normal([4, ...(input as Shape)])
  ensure(x.rank >= 2 && x.shape[0] > 0, 'SHAPE_MISMATCH', () => `integerNetwork: input has shape ${formatShape(x.shape)}, expected some samples [n, …]`)
  // (Not read from a `graph.trace`: in that a quantised layer is the float product of its values, and a program needs the layer
  // itself, with its codes and its sums, and values of the samples that are given.)
  const reader = new Reader(model, x)
  const output = noGrad(() =>
    traced(
      (name, args, made) => reader.operation(name, args, made),
      () =>
        recordingLayers(
          (call) => reader.layer(call),
          () => model.forward(x),
        ),
    ),
  )
  const program = new IntegerProgram(reader.finish(output))
  // Other inputs, and another number of them: what was computed past the operations would stand in the program as a constant.
  for (const given of [x, noGrad(() => concat([x.mul(-0.75), x.mul(1.5)]))])
    if (!agrees(program, model, given))
      throw new EspalierError(
        'INVALID_ARGUMENT',
        'integerNetwork: the program does not give what the forward pass gives; something in that is computed from the input by other ways than operations',
      )
  return program
}

/** Whether a program gives a forward pass's outputs, bit for bit. */
function agrees(program: IntegerProgram, model: Module, x: Tensor): boolean {
  const expected = noGrad(() => model.forward(x))
  try {
    const { output } = noGrad(() => program.run(x))
    return sameShape(output.shape, expected.shape) && output.data.every((value: number, i: number) => Object.is(value + 0, expected.data[i] + 0))
  } catch (error) {
    // Constants of another number of samples do not fit.
    if (error instanceof EspalierError && error.code === 'SHAPE_MISMATCH') return false
    throw error
  }
}
