import { readFileSync } from 'node:fs'
import { describe, EspalierError, ensure, native, wholeNumber } from '../native/index.js'
import type { IntegerLayer, IntegerSource } from '../quant/integer.js'
import { empty, formatShape, type Shape, Tensor } from '../tensor/index.js'
import { Explanation } from './explanation.js'
import { writeWhole } from './file.js'

// Frees the native side of programs that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<number>((number) => native.programFree(number))

/**
 * A compiled network: a plan that native code runs by itself, one call for all layers. Made by `compile`, or read
 * from a file. It takes batches of any size and shares nothing with the model it came from.
 *
 * Several runs may be under way at once (`runAsync`). The native side holds weights and machine code; `dispose` (or
 * `using`) frees them, the garbage collector does at some time.
 *
 * @example
 * ```ts
 * import { compile, nn, Program, rand } from 'espalier'
 * const model = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10))
 * using program = compile(model, { input: [64] })
 * program.run(rand([5, 64])).shape // [5, 10]
 * const later = await program.runAsync(rand([1, 64])) // [1, 10], off the event loop
 * using same = Program.from(program.toBytes())
 * ```
 */
export class Program implements IntegerSource {
  /** The shape of one sample. */
  readonly inputShape: Shape
  /** The shape of a result behind its first dimension, which is the batch size (or a multiple of it). */
  readonly outputShape: Shape
  readonly #rows: number
  #number: number

  /** @internal Use `compile`, `Program.load` or `Program.from`: this takes over a native program. */
  constructor(number: number) {
    this.#number = number
    forgotten.register(this, number, this)
    const { input, output, outputRows } = JSON.parse(native.programExplain(number, 0, 0)) as { input: number[]; output: number[]; outputRows: number }
    this.inputShape = input
    this.outputShape = output
    this.#rows = outputRows
  }

  /**
   * Reads a file that `save` wrote. It is not trusted: what is not whole and undamaged is an error.
   *
   * @throws EspalierError FORMAT for a file that is damaged or none of ours, INVALID_ARGUMENT where it cannot be read
   */
  static load(path: string): Program {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(path)
    } catch (cause) {
      throw new EspalierError('INVALID_ARGUMENT', `load: ${describe(path)} cannot be read: ${(cause as Error).message}`, { cause })
    }
    return Program.from(bytes)
  }

  /**
   * A program from the bytes of such a file.
   *
   * @throws EspalierError FORMAT for bytes that are damaged or no program
   */
  static from(bytes: Uint8Array): Program {
    ensure(bytes instanceof Uint8Array, 'INVALID_ARGUMENT', () => `Program.from: bytes is ${describe(bytes)}, expected a Uint8Array`)
    try {
      return new Program(native.programLoad(bytes))
    } catch (cause) {
      if (!(cause instanceof EspalierError) || cause.code === 'OUT_OF_MEMORY') throw cause
      throw new EspalierError('FORMAT', cause.message, { cause })
    }
  }

  /** The number of the native program; an error after `dispose`. */
  get #live(): number {
    if (this.#number === 0) throw new EspalierError('STATE', 'Program: the program was disposed of')
    return this.#number
  }

  /**
   * The network of a batch x [n, ...inputShape], float32 on the CPU: [n, ...outputShape].
   *
   * @throws EspalierError SHAPE_MISMATCH, DTYPE_MISMATCH or DEVICE_MISMATCH for another x
   */
  run(x: Tensor): Tensor {
    const batch = this.#check('run', x)
    const y = empty([batch * this.#rows, ...this.outputShape], 'float32')
    native.programRun(this.#live, batch, x.storage, y.storage)
    return y
  }

  /** The same off the event loop, which stays free. x is copied before this returns. Rejects where `run` throws. */
  async runAsync(x: Tensor): Promise<Tensor> {
    const batch = this.#check('runAsync', x)
    const y = await native.programRunAsync(this.#live, batch, x.storage as Float32Array)
    return new Tensor(y, [batch * this.#rows, ...this.outputShape], 'float32')
  }

  /**
   * Measures every format of every layer on batches of the sizes given, and runs the fastest from then on: at those
   * sizes, and at others as at the nearest. A file saved later remembers it.
   */
  tune(...batches: number[]): this {
    for (const batch of batches) native.programTune(this.#live, wholeNumber('tune: batch', batch, 1))
    return this
  }

  /**
   * What runs on what at a batch size, and why: formats with the times that the cost model expects. With `repeats`
   * the network is run so often on made-up samples, and times are measured.
   */
  explain({ batch = 1, repeats = 0 }: { batch?: number; repeats?: number } = {}): Explanation {
    wholeNumber('explain: batch', batch, 1)
    wholeNumber('explain: repeats', repeats, 0, 10000)
    return new Explanation(JSON.parse(native.programExplain(this.#live, batch, repeats)) as Explanation)
  }

  /**
   * The layers that sum whole numbers, as `quant.certify` reads them: their weights are those that the program
   * multiplies by, the ranges of their inputs those that its integer kernels keep to.
   */
  integerLayers(): IntegerLayer[] {
    return Array.from(this.explain().steps.entries()).flatMap(([step, { layer: name, codes: input, rows = 0, columns = 0 }]) => {
      if (input === undefined) return []
      const [weights, bias] = [new Int8Array(rows * columns), new Int32Array(rows)]
      native.programIntegers(this.#live, step, weights, bias)
      return [{ name, weights: Int32Array.from(weights), rows, bias, input, inputFrom: 'codes of the program' }]
    })
  }

  /** The bytes of the file that `save` writes. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(native.programFileSize(this.#live))
    native.programFile(this.#live, bytes)
    return bytes
  }

  /** Writes the program to a file, whole or not at all. Formats are prepared anew where it is loaded: any machine will do. */
  save(path: string): void {
    const bytes = this.toBytes()
    try {
      writeWhole(path, bytes)
    } catch (cause) {
      throw new EspalierError('INVALID_ARGUMENT', `save: ${describe(path)} cannot be written: ${(cause as Error).message}`, { cause })
    }
  }

  /** Frees weights and code; runs under way finish. A second call does nothing. */
  dispose(): void {
    if (this.#number === 0) return
    forgotten.unregister(this)
    native.programFree(this.#number)
    this.#number = 0
  }
  [Symbol.dispose](): void {
    this.dispose()
  }

  /** The batch size of an input that fits. */
  #check(operation: string, x: Tensor): number {
    ensure(x instanceof Tensor, 'INVALID_ARGUMENT', () => `${operation}: x is ${describe(x)}, expected a tensor`)
    const { shape } = x
    const expected = this.inputShape
    let fits = shape.length === expected.length + 1
    for (let d = 0; fits && d < expected.length; d++) fits = shape[d + 1] === expected[d]
    ensure(
      fits,
      'SHAPE_MISMATCH',
      () => `${operation}: x has shape ${formatShape(shape)}, expected a batch of ${formatShape(expected)}: [n${expected.map((d) => `, ${d}`).join('')}]`,
    )
    ensure(x.dtype === 'float32', 'DTYPE_MISMATCH', () => `${operation}: x is ${x.dtype}, expected float32`)
    ensure(x.device === 'cpu', 'DEVICE_MISMATCH', () => `${operation}: x is on ${x.device}, a program runs on the CPU`)
    return shape[0]
  }
}
