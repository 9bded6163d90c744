// How a network of integer layers is trained, and what is held against it afterwards.
import { isDeepStrictEqual } from 'node:util'
import { type data, fit, type nn, noGrad, ops, optim, quant, type Tensor } from '../../lib/index.js'

export interface Training {
  loader: data.DataLoader
  /** Some hundred inputs for the start. */
  samples: Tensor
  epochs: number
  /** The largest rate, of multipliers; `quant.integerGroups` has the others. */
  lr: number
  /** Share of the steps in which the rate rises. */
  warmUp?: number
}

/** Trains a model with Adam, the rate rising, then falling as a cosine to 0; weights are projected after each step. */
export async function learn(model: nn.Module, { loader, samples, epochs, lr, warmUp = 2 / epochs }: Training): Promise<void> {
  quant.startIntegers(model, samples)
  const optimizer = new optim.Adam(quant.integerGroups(model, lr), { betas: [0.9, 0.99] })
  const steps = epochs * loader.length
  const rising = Math.max(1, Math.round(warmUp * steps))
  const schedule = new optim.LambdaLR(optimizer, (step) =>
    step < rising ? (step + 1) / rising : 0.5 + 0.5 * Math.cos((Math.PI * (step - rising)) / Math.max(1, steps - rising)),
  )
  const callbacks = [{ onStepEnd: () => quant.projectBudgets(model) }]
  await fit(model, { train: loader, epochs, optimizer, schedule, scheduleEvery: 'step', loss: ops.crossEntropy, callbacks, progress: false })
}

/** What a trained network has come to. */
export interface Outcome {
  /** Share of the test samples. */
  readonly accuracy: number
  /** Proved width of the widest accumulator. */
  readonly bits: number
  /** Most inputs that a neuron of a layer uses, layer by layer. */
  readonly active: readonly number[]
  readonly seconds: number
}

/**
 * Freezes a model, derives its certificate again for a width, and runs the test samples both ways.
 * @throws where an accumulator could leave the width, or exact integers give other logits
 */
export function judged(model: nn.Module, [x, y]: readonly [Tensor, Tensor], accumulatorBits: number): Omit<Outcome, 'seconds'> {
  quant.freeze(model)
  const certificate = quant.certify(model)
  certificate.verify({ bits: accumulatorBits })
  const logits = noGrad(() => model.forward(x))
  const exact = noGrad(() => quant.inIntegers(() => model.forward(x)))
  if (!isDeepStrictEqual(logits.data, exact.data)) throw new Error('exact integers give other logits')
  const classes = ops.argmax(logits, { dim: 1 }).data
  const right = Array.from(classes).filter((label, i) => label === y.data[i]).length
  return { accuracy: right / classes.length, bits: certificate.bits, active: certificate.layers.map(({ maxActive }) => maxActive) }
}
