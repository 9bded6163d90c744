import { noGrad } from '../autograd/index.js'
import { describe, EspalierError, ensure, realNumber } from '../native/index.js'
import type { Sequential } from '../nn/index.js'
import { div, mul, reshape, round } from '../ops/index.js'
import * as quant from '../quant/index.js'
import type { QuantLinear } from '../quant/qnn.js'
import { converted, formatShape, Generator, hostValues, type Quantisation, Tensor } from '../tensor/index.js'
import { evaluating, type History } from '../train/index.js'
import { keep } from './accumulators.js'
import { type LearningOptions, learn, stepsOf } from './learn.js'
import { checkWidths, floatNetwork, linearLayers, quantisedNetwork, type Sizes, sizesFor, sizesOf, widthsOf } from './network.js'
import { completed, type EstimatorOptions, type EstimatorParameters, type NamedParameters, named } from './parameters.js'
import { removeNeurons } from './removeNeurons.js'
import { type Rows, rowsOf } from './rows.js'
import type { Task } from './tasks.js'

/** A network that has learned a task. */
export interface Fitted<T> {
  readonly network: Sequential
  readonly task: T
  readonly history: History
}

/** One in integers, with the proof of its accumulators. */
interface Proved<T> extends Fitted<T> {
  readonly certificate: quant.Certificate
}

/** Ranges and widths of a layer, proved. */
export interface LayerReport {
  /** Smallest and largest value an accumulator of the layer can hold, under any input. */
  range: [min: number, max: number]
  /** Bits that hold them. */
  bitwidth: number
  /** Codes of the layer's inputs, and their width. */
  inputRange: [min: number, max: number]
  inputBitwidth: number
  /** Inputs of a neuron, and the most that any neuron uses. */
  fanIn: number
  activeInputs: number
}

/**
 * What the two estimators share: parameters, training, the proof, pruning. A task (`tasks.ts`) says how
 * targets become a tensor and outputs predictions.
 *
 * Whatever fails or is aborted, the estimator stays as it was before the call.
 */
export abstract class NeuralNet<Target, Prediction, T extends Task<Target, Prediction>> {
  #parameters: EstimatorParameters
  #fitted: Proved<T> | null = null
  #busy = false

  constructor(options: EstimatorOptions) {
    this.#parameters = this.#checked(options)
  }

  /** The task that targets define. */
  protected abstract taskOf(name: string, y: Target): T

  // Parameters

  /** Every parameter by its name in scikit-learn's manner: `module__n_layers`, `max_epochs`, … */
  getParams(): NamedParameters {
    return named(this.#parameters)
  }

  /**
   * Sets parameters, by either of their names; they apply from the next `fit` on. All or nothing.
   *
   * @throws EspalierError INVALID_ARGUMENT for an unknown name, a value out of range, or widths that leave
   *   no room for a weight: the message says the width that would do
   */
  setParams(parameters: Partial<EstimatorParameters> | Partial<NamedParameters>): this {
    this.#parameters = this.#checked(parameters, this.#parameters)
    return this
  }

  #checked(given: object, base: Partial<EstimatorParameters> = {}): EstimatorParameters {
    const parameters = completed(this.constructor.name, given, base)
    checkWidths(this.constructor.name, parameters)
    return parameters
  }

  // Training

  /**
   * Learns from samples and their targets, from the beginning; the accumulators keep to
   * `moduleNAccumBits` after every step, and `certificate` proves it at the end.
   *
   * @param X n rows of finite numbers, see `Rows`
   * @param y one target a row
   * @returns the estimator itself
   */
  async fit(X: Rows, y: Target, options: LearningOptions = {}): Promise<this> {
    return this.#alone(async () => {
      const { x, task } = this.#samples('fit', X, y)
      this.#fitted = await this.#trained(this.#untrained(x, task), x, task, options)
      return this
    })
  }

  /**
   * `fit`, and then the same network in floats on the same samples in the same order, to see what the
   * integers cost.
   *
   * @returns the twin; this estimator is fitted as by `fit`
   */
  async fitBenchmark(X: Rows, y: Target, options: LearningOptions = {}): Promise<FloatTwin<Target, Prediction, T>> {
    return this.#alone(async () => {
      const parameters = this.#parameters
      const { x, task } = this.#samples('fitBenchmark', X, y)
      const untrained = this.#untrained(x, task)
      const network = floatNetwork(parameters, sizesOf(untrained), { generator: new Generator(parameters.seed) })
      const fitted = await this.#trained(untrained, x, task, options)
      const history = await learn(network, x, task, parameters, () => ({}), options)
      this.#fitted = fitted
      return new FloatTwin<Target, Prediction, T>({ network: network.eval(), task, history })
    })
  }

  /**
   * A copy without `fraction` of the hidden neurons, those of the least norm, trained on from there: the
   * width is kept again, and the neurons are gone (rows, biases, and the columns that they fed), not
   * masked. This estimator stays as it is.
   *
   * @param fraction of each hidden layer, between 0 and 1; at least one neuron stays
   * @throws EspalierError STATE where the estimator is not fitted, or pruned already
   */
  async prune(X: Rows, y: Target, fraction: number, options: LearningOptions = {}): Promise<this> {
    return this.#alone(async () => {
      const { network: whole, task: known } = this.#known('prune')
      realNumber('prune: fraction', fraction, Number.MIN_VALUE, 1 - Number.EPSILON)
      const { x, task } = this.#samples('prune', X, y)
      ensure(this.#parameters.moduleNPruneNeuronsPercentage === 0, 'STATE', () => 'prune: the estimator is pruned already')
      ensure(
        x.shape[1] === sizesOf(whole)[0] && task.outputs === known.outputs,
        'SHAPE_MISMATCH',
        () => `prune: ${x.shape[1]} features and ${task.outputs} outputs, fitted were ${sizesOf(whole)[0]} and ${known.outputs}`,
      )
      const pruned = this.#sibling({ moduleNPruneNeuronsPercentage: fraction })
      const network = removeNeurons(whole, fraction, (sizes) => pruned.#quantised(sizes, x))
      pruned.#fitted = await pruned.#trained(network, x, task, options, { trained: true })
      return pruned
    })
  }

  /** An estimator of the same kind and parameters, not fitted. */
  #sibling(changes: Partial<EstimatorParameters>): this {
    return new (this.constructor as new (options: EstimatorOptions) => this)({ ...this.#parameters, ...changes })
  }

  #samples(operation: string, X: Rows, y: Target): { x: Tensor; task: T } {
    const task = this.taskOf(`${operation}: y`, y)
    return { x: rowsOf(`${operation}: X`, X, { count: task.targets.shape[0] }), task }
  }

  /** The network that the parameters ask for, without the share of neurons to be removed. */
  #untrained(x: Tensor, task: T): Sequential {
    const { moduleNPruneNeuronsPercentage: fraction } = this.#parameters
    const whole = this.#quantised(sizesFor(this.#parameters, x.shape[1], task.outputs), x)
    return fraction === 0 ? whole : removeNeurons(whole, fraction, (sizes) => this.#quantised(sizes, x))
  }

  #quantised(sizes: Sizes, x: Tensor): Sequential {
    // Brevitas' 300 steps would be more than a short training has; half of it was best for all methods.
    const collectSteps = Math.min(300, Math.ceil(stepsOf(x.shape[0], this.#parameters) / 2))
    return quantisedNetwork(this.#parameters, sizes, { generator: new Generator(this.#parameters.seed), collectSteps })
  }

  async #trained(network: Sequential, x: Tensor, task: T, options: LearningOptions, { trained = false } = {}): Promise<Proved<T>> {
    const { moduleAccumulator, moduleNAccumBits } = this.#parameters
    const widths = widthsOf(this.#parameters)
    const history = await learn(network, x, task, this.#parameters, () => keep(moduleAccumulator, network, widths, { trained }), options)
    quant.freeze(network)
    const certificate = quant.certify(network)
    certificate.verify(moduleNAccumBits < 32 ? { bits: moduleNAccumBits } : {})
    return { network, task, history, certificate }
  }

  /** One training at a time. */
  async #alone<R>(body: () => Promise<R>): Promise<R> {
    ensure(!this.#busy, 'STATE', () => `${this.constructor.name}: it is being trained already`)
    this.#busy = true
    try {
      return await body()
    } finally {
      this.#busy = false
    }
  }

  // What it has learned

  #known(operation: string): Proved<T> {
    if (this.#fitted === null) throw new EspalierError('STATE', `${operation}: the estimator is not fitted; call fit first`)
    return this.#fitted
  }

  /** @internal What is fitted, for the estimators. */
  protected fitted(operation: string): Fitted<T> {
    return this.#known(operation)
  }

  /** The trained network, frozen, in evaluation mode. */
  get network(): Sequential {
    return this.#known('network').network
  }

  /** The course of the training. */
  get history(): History {
    return this.#known('history').history
  }

  /** The proof of every neuron's accumulator; see `quant.Certificate`. */
  get certificate(): quant.Certificate {
    return this.#known('certificate').certificate
  }

  /** The proved range and width of every layer's accumulator, by name; as Concrete ML's circuits report theirs. */
  bitwidthAndRangeReport(): Record<string, LayerReport> {
    return Object.fromEntries(
      this.certificate.layers.map(({ name, min, max, bits, input, fanIn, maxActive }) => {
        const inputBitwidth = input.min < 0 ? quant.bitsFor(input.min, input.max) : quant.bitsFor(0, input.max) - 1
        return [name, { range: [min, max], bitwidth: bits, inputRange: [input.min, input.max], inputBitwidth, fanIn, activeInputs: maxActive }]
      }),
    )
  }

  // Use

  /** What the network says of each row: the label, or the number(s). */
  predict(X: Rows): Prediction {
    return predictionsOf(this.#known('predict'), X)
  }

  /** How well it predicts: accuracy of a classifier, R² of a regressor. 1 is the best. */
  score(X: Rows, y: Target): number {
    return scoreOf(this.#known('score'), X, y)
  }

  // As integers: what runs where only integers can

  /** The codes of the network's inputs: rows as an int32 tensor [n, features]. */
  quantizeInput(X: Rows): Tensor {
    const { network } = this.#known('quantizeInput')
    const x = rowsOf('quantizeInput: X', X, { width: sizesOf(network)[0] })
    const [quantiser] = network
    return noGrad(() => {
      const y = quantiser.forward(x)
      return asIntegers(round(div(y, (y.quantisation as Quantisation).scale)))
    })
  }

  /**
   * Runs the network on codes as `quantizeInput` gives them, all sums in integers: the accumulators of the
   * last layer, int32 [n, outputs].
   */
  integerForward(codes: Tensor): Tensor {
    const { network } = this.#known('integerForward')
    const [first] = linearLayers(network) as QuantLinear[]
    const { scale, min, max } = first.inputQuantisation as Quantisation
    const { inFeatures } = first
    ensure(
      codes instanceof Tensor && codes.rank === 2 && codes.shape[1] === inFeatures,
      'SHAPE_MISMATCH',
      () => `integerForward: codes is ${codes instanceof Tensor ? formatShape(codes.shape) : describe(codes)}, expected a tensor [n, ${inFeatures}]`,
    )
    const out = hostValues(codes.storage).find((code) => !Number.isInteger(code) || code < min || code > max)
    ensure(out === undefined, 'INVALID_ARGUMENT', () => `integerForward: a code is ${out}, expected whole numbers from ${min} to ${max}`)
    let last: Float64Array = new Float64Array()
    const x = new Tensor(converted(codes.storage, 'float32', 'cpu'), codes.shape, 'float32')
    const output = noGrad(() =>
      quant.inIntegers(
        () => network.forward(mul(x, scale)),
        (_, sums) => {
          last = sums
        },
      ),
    )
    return new Tensor(Int32Array.from(last), output.shape, 'int32')
  }

  /** The network's outputs from the accumulators of its last layer: each times the layer's unit, float32 [n, outputs]. */
  dequantizeOutput(accumulators: Tensor): Tensor {
    const last = linearLayers(this.#known('dequantizeOutput').network).at(-1) as QuantLinear
    ensure(
      accumulators instanceof Tensor && accumulators.rank === 2 && accumulators.shape[1] === last.outFeatures,
      'SHAPE_MISMATCH',
      () =>
        `dequantizeOutput: the accumulators are ${accumulators instanceof Tensor ? formatShape(accumulators.shape) : describe(accumulators)}, expected a tensor [n, ${last.outFeatures}]`,
    )
    return noGrad(() => {
      const input = last.inputQuantisation as Quantisation
      const weight = last.effective('weight').quantisation as Quantisation
      const unit = mul(input.scale, reshape(weight.scale, weight.scale.size === 1 ? [] : [-1]))
      return mul(new Tensor(converted(accumulators.storage, 'float32', 'cpu'), accumulators.shape, 'float32'), unit)
    })
  }
}

/** An estimator's network in floats, trained on the same samples. */
export class FloatTwin<Target, Prediction, T extends Task<Target, Prediction>> {
  readonly network: Sequential
  readonly history: History
  readonly #fitted: Fitted<T>

  constructor(fitted: Fitted<T>) {
    this.network = fitted.network
    this.history = fitted.history
    this.#fitted = fitted
  }

  /** What leaves the last layer, [n, outputs]: of a classifier the logits. */
  outputs(X: Rows): Tensor {
    return outputsOf('outputs', this.#fitted, X)
  }

  /** See `NeuralNet.predict`. */
  predict(X: Rows): Prediction {
    return predictionsOf(this.#fitted, X)
  }

  /** See `NeuralNet.score`. */
  score(X: Rows, y: Target): number {
    return scoreOf(this.#fitted, X, y)
  }
}

/** The outputs of a fitted network, [n, outputs]. */
export function outputsOf<T>(operation: string, { network }: Fitted<T>, X: Rows): Tensor {
  const x = rowsOf(`${operation}: X`, X, { width: sizesOf(network)[0] })
  return evaluating(network, () => network.forward(x))
}

const predictionsOf = <Target, Prediction>(fitted: Fitted<Task<Target, Prediction>>, X: Rows): Prediction =>
  fitted.task.predictionsOf(outputsOf('predict', fitted, X))

const scoreOf = <Target, Prediction>(fitted: Fitted<Task<Target, Prediction>>, X: Rows, y: Target): number =>
  fitted.task.score(outputsOf('score', fitted, X), y)

const asIntegers = (values: Tensor): Tensor => new Tensor(converted(values.storage, 'int32', 'cpu'), values.shape, 'int32')
