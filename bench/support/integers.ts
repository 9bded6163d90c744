import { kernels } from '../../lib/index.js'
import { cxx } from './process.js'
import { inPanels, inRows, making, type Product, type Shape } from './products.js'
import { pruned, structured } from './sparse.js'
import type { Contender, Match } from './task.js'
import { noise } from './verify.js'

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

  /** The bits that hold every sum. */
  get neededBits(): number {
    const [rows, columns] = this.shape
    using matrix = new kernels.IntegerSparseMatrix(this.weight, rows, columns, { kernel: 'rows' })
    return matrix.neededBits
  }

  /** Our product, as the ways of products.ts take it. */
  product(options: kernels.IntegerSparseMatrixOptions = {}): Product<Uint8Array, Int32Array> {
    const [rows, columns, samples] = this.shape
    return { shape: this.shape, make: () => new kernels.IntegerSparseMatrix(this.weight, rows, columns, options), x: this.x, y: new Int32Array(samples * rows) }
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
  match(what = '', ours: Match['ours'] = () => inRows(this.product()), rival = dense): Match {
    return { case: `${this.case}${what}`, rival, ours, theirs: () => this.oneDNN(), verify: this.verify, limit: this.limit }
  }

  /** One sample, whose limit is what is read: of the matrix, made for vectors, what it holds beyond what gives it back. */
  vector(): Match {
    const [rows, columns] = this.shape
    using matrix = new kernels.IntegerSparseMatrix(this.weight, rows, columns, { kernel: 'vector' })
    const kept = matrix.count * 5 + (rows + 1) * 8
    return { ...this.match(), limit: { read: matrix.bytes - kept } }
  }

  /** From rows, from panels, and with a matrix that is made for one product. */
  *matches(): Iterable<Match> {
    yield this.match()
    yield this.match(' in panels', () => inPanels(this.product()))
    yield this.match(' made and used once', () => making(this.product()), 'one product of oneDNN u8s8')
  }
}
