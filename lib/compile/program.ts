import { readFileSync } from 'node:fs'
import {
  allocateOn,
  copyOnDevice,
  cudaOn,
  type Device,
  DeviceArray,
  describe,
  deviceNamed,
  download,
  EspalierError,
  ensure,
  native,
  onOwnStream,
  upload,
  wholeNumber,
} from '../native/index.js'
import type { IntegerLayer, IntegerSource } from '../quant/integer.js'
import { allocate, empty, formatShape, placedOn, type Shape, Tensor } from '../tensor/index.js'
import { Explanation } from './explanation.js'
import { writeWhole } from './file.js'

/**
 * The native functions of programs, which are the same on every device; those of a GPU take arrays by their handles.
 * @internal
 */
export const functionsOf = (device: Device) => (device === 'cpu' ? native : cudaOn(device).addon)

/** A copy on the CPU, once it is there. */
const hostResult = (y: Tensor): Tensor => new Tensor(download(y.storage as DeviceArray, allocate('float32', y.size)), y.shape, 'float32')

/** Where a program is to run. */
export interface ProgramOptions {
  /** 'cpu' (the default), 'cuda' or 'cuda:1'. */
  device?: Device
}

// Frees the native side of programs that nobody disposed of, once the event loop turns.
const forgotten = new FinalizationRegistry<{ number: number; device: Device }>(({ number, device }) => functionsOf(device).programFree(number))

/**
 * A compiled network: a plan that native code runs by itself, one call for all layers. Made by `compile`, or read
 * from a file. It takes batches of any size and shares nothing with the model it came from.
 *
 * Several runs may be under way at once (`runAsync`). The native side holds weights and machine code; `dispose` (or
 * `using`) frees them, the garbage collector does at some time.
 *
 * A program on a GPU takes batches there, and then `run` returns when its work is queued; or batches on the CPU, which
 * it copies there and whose results it copies back.
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
  constructor(
    number: number,
    /** Where it runs. */
    readonly device: Device = 'cpu',
  ) {
    this.#number = number
    forgotten.register(this, { number, device }, this)
    const { input, output, outputRows } = JSON.parse(functionsOf(device).programExplain(number, 0, 0)) as {
      input: number[]
      output: number[]
      outputRows: number
    }
    this.inputShape = input
    this.outputShape = output
    this.#rows = outputRows
  }

  /**
   * Reads a file that `save` wrote, for the CPU or another device: a file is good for all. It is not trusted: what is
   * not whole and undamaged is an error.
   *
   * @throws EspalierError FORMAT for a file that is damaged or none of ours, INVALID_ARGUMENT where it cannot be read,
   *   DEVICE_MISSING where the device is not there
   */
  static load(path: string, options: ProgramOptions = {}): Program {
    let bytes: Uint8Array
    try {
      bytes = readFileSync(path)
    } catch (cause) {
      throw new EspalierError('INVALID_ARGUMENT', `load: ${describe(path)} cannot be read: ${(cause as Error).message}`, { cause })
    }
    return Program.from(bytes, options)
  }

  /**
   * A program from the bytes of such a file.
   *
   * @throws EspalierError FORMAT for bytes that are damaged or no program
   */
  static from(bytes: Uint8Array, { device: named = 'cpu' }: ProgramOptions = {}): Program {
    ensure(bytes instanceof Uint8Array, 'INVALID_ARGUMENT', () => `Program.from: bytes is ${describe(bytes)}, expected a Uint8Array`)
    const device = deviceNamed('Program', named)
    try {
      return new Program(functionsOf(device).programLoad(bytes), device)
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
   * The network of a batch x [n, ...inputShape], float32: [n, ...outputShape], where x is. A program on a GPU takes x
   * there or on the CPU.
   *
   * @throws EspalierError SHAPE_MISMATCH, DTYPE_MISMATCH or DEVICE_MISMATCH for another x
   */
  run(x: Tensor): Tensor {
    const batch = this.#check('run', x)
    const y = this.#result(batch)
    if (this.device === 'cpu') {
      native.programRun(this.#live, batch, x.storage, y.storage)
      return y
    }
    const made = [y.storage as DeviceArray]
    try {
      let from = x.storage
      if (!(from instanceof DeviceArray)) {
        made.push(allocateOn(this.device, 'float32', x.size))
        upload(from as Float32Array, made[1])
        from = made[1]
      }
      functionsOf(this.device).programRun(this.#live, batch, from.handle as never, made[0].handle as never)
      if (x.device !== this.device) return hostResult(y)
      made.shift()
      return y
    } finally {
      for (const array of made) array.dispose()
    }
  }

  /**
   * The same off the event loop, which stays free: on a GPU on a stream of its own, so that several runs may overlap.
   * x is copied before this returns. Rejects where `run` throws.
   */
  async runAsync(x: Tensor): Promise<Tensor> {
    const batch = this.#check('runAsync', x)
    const { device } = this
    if (device === 'cpu') {
      const y = await native.programRunAsync(this.#live, batch, x.storage as Float32Array)
      return new Tensor(y, [batch * this.#rows, ...this.outputShape], 'float32')
    }
    const y = this.#result(batch)
    const number = this.#live
    const made = [y.storage as DeviceArray]
    try {
      const from = allocateOn(device, 'float32', x.size)
      made.push(from)
      // A scope that is open now may end first.
      for (const array of made) array.kept = true
      if (x.storage instanceof DeviceArray) copyOnDevice(x.storage, from)
      else upload(x.storage as Float32Array, from)
      await onOwnStream(device, () => functionsOf(device).programRun(number, batch, from.handle as never, made[0].handle as never))
      if (x.device !== device) return hostResult(y)
      made.shift()
      return y
    } finally {
      for (const array of made) array.dispose()
    }
  }

  /**
   * Measures every format of every layer on batches of the sizes given, and runs the fastest from then on: at those
   * sizes, and at others as at the nearest. A file saved later remembers it.
   */
  tune(...batches: number[]): this {
    for (const batch of batches) functionsOf(this.device).programTune(this.#live, wholeNumber('tune: batch', batch, 1))
    return this
  }

  /**
   * What runs on what at a batch size, and why: formats with the times that the cost model expects. With `repeats`
   * the network is run so often on made-up samples, and times are measured.
   */
  explain({ batch = 1, repeats = 0 }: { batch?: number; repeats?: number } = {}): Explanation {
    wholeNumber('explain: batch', batch, 1)
    wholeNumber('explain: repeats', repeats, 0, 10000)
    return new Explanation(JSON.parse(functionsOf(this.device).programExplain(this.#live, batch, repeats)) as Explanation)
  }

  /**
   * The layers that sum whole numbers, as `quant.certify` reads them: their weights are those that the program
   * multiplies by, the ranges of their inputs those that its integer kernels keep to.
   */
  integerLayers(): IntegerLayer[] {
    if (this.device !== 'cpu') {
      // The file says it, whichever device reads it.
      using same = Program.from(this.toBytes())
      return same.integerLayers()
    }
    return Array.from(this.explain().steps.entries()).flatMap(([step, { layer: name, codes: input, rows = 0, columns = 0 }]) => {
      if (input === undefined) return []
      const [weights, bias] = [new Int8Array(rows * columns), new Int32Array(rows)]
      native.programIntegers(this.#live, step, weights, bias)
      return [{ name, weights: Int32Array.from(weights), rows, bias, input, inputFrom: 'codes of the program' }]
    })
  }

  /** The bytes of the file that `save` writes. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(functionsOf(this.device).programFileSize(this.#live))
    functionsOf(this.device).programFile(this.#live, bytes)
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
    functionsOf(this.device).programFree(this.#number)
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
    const { device } = this
    ensure(
      x.device === device || x.device === 'cpu',
      'DEVICE_MISMATCH',
      () => `${operation}: x is on ${x.device}, expected ${device === 'cpu' ? '' : `${device} or `}cpu: the program runs on ${device}`,
    )
    return shape[0]
  }

  /** Where a result is written. */
  #result(batch: number): Tensor {
    return placedOn(this.device, () => empty([batch * this.#rows, ...this.outputShape], 'float32'))
  }
}
