import { describe, EspalierError, ensure, realNumber, wholeNumber } from '../native/index.js'
import { Module, ReLU } from '../nn/index.js'
import { Adam } from '../optim/index.js'
import type { Tensor } from '../tensor/index.js'
import type { EarlyStoppingOptions, FitOptions, Loss } from '../train/index.js'
import { type AccumulatorMethod, accumulatorMethods } from './accumulators.js'

// The parameters of an estimator. One table holds their defaults and checks; their names in the manner
// of scikit-learn follow from their own.

/** The quantised network: Concrete ML's `module__…`, with its defaults. */
export interface ModuleParameters {
  /** Linear layers, 1 or more. */
  moduleNLayers: number
  /** Neurons of a hidden layer, as a multiple of the features: ⌊features · multiplier⌋. Default 4. */
  moduleNHiddenNeuronsMultiplier: number
  /** Width of a weight's code, 2 to 8 bits. Default 4. */
  moduleNWBits: number
  /** Width of an activation's code, 2 to 8 bits. Default 4. */
  moduleNABits: number
  /**
   * Width that no neuron's accumulator may exceed, whatever the inputs: 2 to 32 bits, bias included. The
   * estimator carries the proof. Default 32, at which nothing is held back.
   */
  moduleNAccumBits: number
  /** Share of the hidden neurons to remove, 0 up to 1. Default 0; `prune` sets it. */
  moduleNPruneNeuronsPercentage: number
  /** What stands between two layers. Default `nn.ReLU`. */
  moduleActivationFunction: new () => Module
  /** Codes that leave out one end of their range. Default false; the weights' are always narrow where scales are learned. */
  moduleQuantNarrow: boolean
  /** Two's complement activations, of which those behind a ReLU use the upper half alone. Default true. */
  moduleQuantSigned: boolean
  /** Scales that are powers of two. Default true; the weights' are learned instead under 'budget', 'a2q' and 'a2q+'. */
  modulePowerOfTwoScaling: boolean
  /** How an accumulator below 32 bits is kept: see `AccumulatorMethod`. Not a parameter of Concrete ML's. Default 'budget'. */
  moduleAccumulator: AccumulatorMethod
}

/** The training: skorch's parameters, as Concrete ML sets them. */
export interface TrainingParameters {
  /** Passes over the training part. Default 10. */
  maxEpochs: number
  /** Samples a step. Default 128. */
  batchSize: number
  /** Learning rate. Default 0.01. */
  lr: number
  /** What makes the optimiser, from parameters and options. Default `optim.Adam`. */
  optimizer: new (
    parameters: Tensor[],
    options: { lr: number },
  ) => FitOptions['optimizer']
  /** The loss. Default null: cross-entropy of a classifier, mean squared error of a regressor. */
  criterion: Loss | null
  /** Folds, of which one is held out and measured on after each epoch (stratified by class), or null for none. Default 5. */
  trainSplit: number | null
  /** Ends the training once the held-out score no longer improves. Default null: it does not. */
  earlyStopping: EarlyStoppingOptions | null
  /** Fixes initial weights, the split and the order of the samples. Default 0. */
  seed: number
}

export type EstimatorParameters = ModuleParameters & TrainingParameters

/** What an estimator is made from: the number of layers, and whatever is not to have its default. */
export type EstimatorOptions = Pick<EstimatorParameters, 'moduleNLayers'> & Partial<EstimatorParameters>

/** `maxEpochs` as `max_epochs`, `moduleNWBits` as `module__n_w_bits`. */
type Snake<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? First extends Lowercase<First>
    ? `${First}${Snake<Rest>}`
    : `_${Lowercase<First>}${Snake<Rest>}`
  : Name
type Prefixed<Name extends string> = Name extends `module_${infer Rest}` ? `module__${Rest}` : Name

/** The parameters under the names of scikit-learn and Concrete ML. */
export type NamedParameters = { [Name in keyof EstimatorParameters as Prefixed<Snake<Name>>]: EstimatorParameters[Name] }

type Name = keyof EstimatorParameters
type Check = (name: string, value: unknown) => unknown

const whole =
  (low: number, high?: number): Check =>
  (name, value) =>
    wholeNumber(name, value, low, high)
const flag: Check = (name, value) => ensure(typeof value === 'boolean', 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected true or false`)
const ofClass: Check = (name, value) => ensure(typeof value === 'function', 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected a class`)
const nullOr =
  (check: Check): Check =>
  (name, value) =>
    value === null || check(name, value)

/** Default and check of each; undefined is the default of what has to be given. */
const table: { readonly [N in Name]: readonly [initial: EstimatorParameters[N] | undefined, check: Check] } = {
  moduleNLayers: [undefined, whole(1)],
  moduleNHiddenNeuronsMultiplier: [4, (name, value) => realNumber(name, value, Number.MIN_VALUE)],
  moduleNWBits: [4, whole(2, 8)],
  moduleNABits: [4, whole(2, 8)],
  moduleNAccumBits: [32, whole(2, 32)],
  moduleNPruneNeuronsPercentage: [0, (name, value) => realNumber(name, value, 0, 1 - Number.EPSILON)],
  moduleActivationFunction: [ReLU, ofClass],
  moduleQuantNarrow: [false, flag],
  moduleQuantSigned: [true, flag],
  modulePowerOfTwoScaling: [true, flag],
  moduleAccumulator: [
    'budget',
    (name, value) =>
      ensure(
        accumulatorMethods.includes(value as AccumulatorMethod),
        'INVALID_ARGUMENT',
        () => `${name} is ${describe(value)}, expected one of ${accumulatorMethods.join(', ')}`,
      ),
  ],
  maxEpochs: [10, whole(1)],
  batchSize: [128, whole(1)],
  lr: [0.01, (name, value) => realNumber(name, value, 0)],
  optimizer: [Adam, ofClass],
  criterion: [
    null,
    nullOr((name, value) =>
      ensure(typeof value === 'function' || value instanceof Module, 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected a loss or null`),
    ),
  ],
  trainSplit: [5, nullOr(whole(2))],
  earlyStopping: [
    null,
    nullOr((name, value) => ensure(typeof value === 'object', 'INVALID_ARGUMENT', () => `${name} is ${describe(value)}, expected options or null`)),
  ],
  seed: [0, whole(0)],
}

const names = Object.keys(table) as Name[]

/** A parameter's name in scikit-learn's manner. */
const snakeOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replace(/^module_/, 'module__')
const bySnake = new Map(names.map((name) => [snakeOf(name), name]))

/** Every parameter, checked: those given, under either name, in the place of those of `base` or the defaults. */
export function completed(estimator: string, given: object, base: Partial<EstimatorParameters> = {}): EstimatorParameters {
  ensure(typeof given === 'object' && given !== null, 'INVALID_ARGUMENT', () => `${estimator}: the parameters are ${describe(given)}, expected an object`)
  const renamed = Object.fromEntries(
    Object.entries(given).map(([key, value]) => {
      const name = bySnake.get(key) ?? (Object.hasOwn(table, key) ? key : undefined)
      if (name === undefined) throw new EspalierError('INVALID_ARGUMENT', `${estimator}: there is no parameter ${describe(key)}; there are ${names.join(', ')}`)
      return [name, value]
    }),
  )
  const all: Record<string, unknown> = {}
  for (const name of names) {
    const [initial, check] = table[name]
    all[name] = renamed[name] ?? base[name] ?? initial
    // null is a value of its own where it is allowed.
    if (renamed[name] === null) all[name] = null
    ensure(all[name] !== undefined, 'INVALID_ARGUMENT', () => `${estimator}: ${name} is missing`)
    check(`${estimator}: ${name}`, all[name])
  }
  return all as unknown as EstimatorParameters
}

/** The parameters under scikit-learn's names. */
export const named = (parameters: EstimatorParameters): NamedParameters =>
  Object.fromEntries(names.map((name) => [snakeOf(name), parameters[name]])) as unknown as NamedParameters
