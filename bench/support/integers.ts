import { kernels } from '../../lib/index.js'
import { cxx } from './process.js'
import { pruned, structured } from './sparse.js'
import { type Contender, inProcess, type Match } from './task.js'
import { noise } from './verify.js'

/** rows × columns of the weight, samples of the batch. */
export type Shape = readonly [rows: number, columns: number, samples: number]

const dense = 'oneDNN u8s8, weights prepacked'

/** A pruned weight of int8 times a batch of uint8, in whole numbers: what the sides of a comparison share. */
export class IntegerProblem {
  readonly weight: Int8Array
  readonly x: Uint8Array
  readonly #expected: Map<number, number>

  constructor(
    readonly shape: Shape,
    readonly sparsity: number,
    /** The whole number that a kept entry of noise, within ±1, becomes; none becomes 0. */
    quantised: (value: number) => number,
    readonly structure?: string,
  ) {
    const [rows, columns, samples] = shape
    const from = structure === undefined ? pruned(rows, columns, sparsity) : structured(structure, rows, columns, sparsity)
    this.weight = Int8Array.from(from, (value) => (value === 0 ? 0 : quantised(value)))
    this.x = Uint8Array.from(noise(samples * columns, 2), (value) => Math.floor((value + 1) * 128))
    this.#expected = new Map()
    for (let i = 0; i < samples * rows; i += samples * rows > 1 << 18 ? 997 : 1) {
      let sum = 0
      for (let c = 0; c < columns; c++) sum += this.x[Math.floor(i / rows) * columns + c] * this.weight[(i % rows) * columns + c]
      this.#expected.set(i, sum)
    }
  }

  get case(): string {
    return `${this.shape.join('x')} s=${this.sparsity.toFixed(2)}${this.structure === undefined ? '' : ` ${this.structure}`}`
  }

  /** Every result that is looked at, to the last bit. */
  readonly verify: Match['verify'] = (output) => {
    const [rows, , samples] = this.shape
    if (output.length !== rows * samples) throw new Error(`${output.length} values, expected ${rows * samples}`)
    for (const [i, sum] of this.#expected) if (output[i] !== sum) throw new Error(`value ${i} is ${output[i]}, expected ${sum}`)
  }

  /** Multiplications and additions of the kept entries. */
  get limit(): { dot: number } {
    return { dot: 2 * this.weight.reduce((sum, value) => sum + Number(value !== 0), 0) * this.shape[2] }
  }

  /** X·Wᵀ, a sample a row as a linear layer has it: packing X and unpacking Y are part of it. */
  ours(options: kernels.IntegerSparseMatrixOptions = {}): Contender {
    const [rows, columns, samples] = this.shape
    const matrix = new kernels.IntegerSparseMatrix(this.weight, rows, columns, options)
    const y = new Int32Array(samples * rows)
    return {
      ...inProcess(
        () => matrix.multiply(this.x, { out: y }),
        () => y,
      ),
      close: () => matrix.dispose(),
    }
  }

  /** The same from panels to panels, as in a chain of products. */
  inPanels(options: kernels.IntegerSparseMatrixOptions = {}): Contender {
    const [rows, columns, samples] = this.shape
    const matrix = new kernels.IntegerSparseMatrix(this.weight, rows, columns, options)
    const at = (s: number, c: number, components: number) => ((s >> 4) * components + c) * 16 + (s & 15)
    const x = new Uint8Array(pages(samples * columns), 0, samples * columns)
    for (let s = 0; s < samples; s++) for (let c = 0; c < columns; c++) x[at(s, c, columns)] = this.x[s * columns + c]
    const y = new Int32Array(pages(samples * rows * 4), 0, samples * rows)
    return {
      ...inProcess(
        () => matrix.multiply(x, { layout: 'panels', out: y }),
        () => y.map((_, i) => y[at(Math.floor(i / rows), i % rows, rows)]),
      ),
      close: () => matrix.dispose(),
    }
  }

  /** Making the matrix, its code if it has any, and the first product. */
  making(): Contender {
    const [rows, columns, samples] = this.shape
    const y = new Int32Array(samples * rows)
    return inProcess(
      () => {
        const matrix = new kernels.IntegerSparseMatrix(this.weight, rows, columns)
        matrix.multiply(this.x, { out: y })
        matrix.dispose()
      },
      () => y,
    )
  }

  oneDNN(): Contender {
    const [rows, columns, samples] = this.shape
    const b = new Int8Array(this.weight.length)
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) b[c * rows + r] = this.weight[r * columns + c]
    return cxx({
      rival: 'oneDNN',
      source: 'int8/onednn.cc',
      flags: ['-ldnnl'],
      install: 'apt-get install libdnnl-dev',
      args: [samples, rows, columns],
      inputs: { a: this.x, b },
    })
  }

  /** A row of the report. */
  match(what = '', ours: Match['ours'] = () => this.ours(), rival = dense): Match {
    return { case: `${this.case}${what}`, rival, ours, theirs: () => this.oneDNN(), verify: this.verify, limit: this.limit }
  }

  /** From rows, from panels, and with a matrix that is made for one product. */
  *matches(): Iterable<Match> {
    yield this.match()
    yield this.match(' in panels', () => this.inPanels())
    yield this.match(' made and used once', () => this.making(), 'one product of oneDNN u8s8')
  }
}

/** A buffer that begins with a page, as memory of native programs does; one of V8's would begin 16 bytes into a line. */
function pages(bytes: number): ArrayBuffer {
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: new (of: { initial: number }) => { buffer: ArrayBuffer } } }).WebAssembly
  return new Memory({ initial: Math.ceil(bytes / 2 ** 16) }).buffer
}
