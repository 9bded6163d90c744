import { describe, EspalierError, ensure, native, realNumber, wholeNumber } from '../native/index.js'
import { type DType, isFloat } from './dtype.js'
import type { Shape } from './shape.js'
import { empty, type Tensor } from './tensor.js'

export interface RandomOptions {
  /** float32 (default) or float64. */
  dtype?: DType
  requiresGrad?: boolean
}
export interface UniformOptions {
  /** Default 0. */
  min?: number
  /** Default 1. */
  max?: number
}
export interface NormalOptions {
  /** Default 0. */
  mean?: number
  /** Standard deviation, default 1. */
  std?: number
}

/** Where a generator stands: with the same state it draws the same numbers. */
export interface GeneratorState {
  readonly seed: number
  /** Blocks of four 32-bit words drawn so far. */
  readonly counter: number
}

/**
 * A source of random numbers: Philox 4x32-10 (Salmon et al. 2011). A seed, 0 to 2⁵³−1, fixes
 * everything it draws, whatever the number of threads.
 *
 * @example
 * ```ts
 * import { Generator } from 'espalier'
 * const generator = new Generator(7)
 * const before = generator.state
 * const x = generator.normal([2, 3], { std: 0.1 })
 * generator.state = before
 * const same = generator.normal([2, 3], { std: 0.1 }) // equals x
 * ```
 */
export class Generator {
  #seed: number
  #counter = 0

  constructor(seed = 0) {
    this.#seed = wholeNumber('Generator: seed', seed)
  }

  get state(): GeneratorState {
    return { seed: this.#seed, counter: this.#counter }
  }
  set state({ seed, counter }: GeneratorState) {
    const checked = [wholeNumber('Generator: state.seed', seed), wholeNumber('Generator: state.counter', counter)]
    this.#seed = checked[0]
    this.#counter = checked[1]
  }

  /** Starts over from this seed. */
  manualSeed(seed: number): this {
    this.state = { seed, counter: 0 }
    return this
  }

  /** Numbers uniform in [min, max). */
  uniform(shape: Shape, { min, max, ...options }: UniformOptions & RandomOptions = {}): Tensor {
    return this.fillUniform(made('uniform', shape, options), { min, max })
  }

  /** Normally distributed numbers. */
  normal(shape: Shape, { mean, std, ...options }: NormalOptions & RandomOptions = {}): Tensor {
    return this.fillNormal(made('normal', shape, options), { mean, std })
  }

  /** `value` (default 1) with probability p, else 0. */
  bernoulli(shape: Shape, { p = 0.5, value = 1, ...options }: { p?: number; value?: number } & RandomOptions = {}): Tensor {
    const x = made('bernoulli', shape, options)
    realNumber('bernoulli: p', p, 0, 1)
    this.#counter += native.randomBernoulli(this.#seed, this.#counter, p, realNumber('bernoulli: value', value), x.storage)
    return x
  }

  /** The numbers 0, …, n−1 in random order, int32. */
  permutation(n: number): Tensor {
    const order = empty([wholeNumber('permutation: n', n, 0, 2 ** 31 - 1)], 'int32')
    this.#counter += native.randomPermutation(this.#seed, this.#counter, order.storage)
    return order
  }

  /** Overwrites a tensor's elements with numbers uniform in [min, max); gives that tensor. */
  fillUniform(x: Tensor, { min = 0, max = 1 }: UniformOptions = {}): Tensor {
    realNumber('uniform: min', min)
    realNumber('uniform: max', max, min)
    this.#counter += native.randomUniform(this.#seed, this.#counter, min, max, x.storage)
    return x
  }

  /** Overwrites a tensor's elements with normally distributed numbers; gives that tensor. */
  fillNormal(x: Tensor, { mean = 0, std = 1 }: NormalOptions = {}): Tensor {
    realNumber('normal: mean', mean)
    realNumber('normal: std', std, 0)
    this.#counter += native.randomNormal(this.#seed, this.#counter, mean, std, x.storage)
    return x
  }
}

function made(operation: string, shape: Shape, { dtype = 'float32', requiresGrad = false }: RandomOptions): Tensor {
  ensure(isFloat(dtype), 'DTYPE_MISMATCH', () => `${operation}: dtype is ${describe(dtype)}, expected float32 or float64`)
  if (!Array.isArray(shape)) throw new EspalierError('INVALID_ARGUMENT', `${operation}: shape is ${describe(shape)}, expected an array`)
  const x = empty([...(shape as Shape)], dtype)
  x.requiresGrad = requiresGrad
  return x
}

/** What draws where no generator is given. Its seed is 0 until `manualSeed` sets another. */
export const defaultGenerator = new Generator(0)

/**
 * Starts the default generator over, from a seed: initial weights, dropout, shuffled orders and all else that draws without
 * a generator of its own follow from it.
 *
 * @param seed a whole number from 0 to 2⁵³ − 1
 * @returns the default generator
 * @throws EspalierError INVALID_ARGUMENT for another seed
 * @example
 * ```ts
 * import { manualSeed, rand } from 'espalier'
 * manualSeed(1)
 * const first = rand([3])
 * manualSeed(1)
 * rand([3]) // the same three numbers as first
 * ```
 */
export const manualSeed = (seed: number): Generator => defaultGenerator.manualSeed(seed)

/** Numbers uniform in [0, 1) from the default generator. */
export const rand = (shape: Shape, options?: RandomOptions): Tensor => defaultGenerator.uniform(shape, options)

/** Normally distributed numbers, mean 0 and deviation 1, from the default generator. */
export const randn = (shape: Shape, options?: RandomOptions): Tensor => defaultGenerator.normal(shape, options)
