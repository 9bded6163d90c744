import { kernels } from '../../lib/index.js'
import { Finish, native } from '../../lib/native/index.js'
import { cxx } from '../support/process.js'
import { inColumns, inPanels, inRows, making, type Product, type Shape } from '../support/products.js'
import { pruned, structured, transposed } from '../support/sparse.js'
import { type Contender, inProcess, type Limit, type Match } from '../support/task.js'
import { noise, productChecker } from '../support/verify.js'

const shapes: readonly Shape[] = [
  [256, 256, 256],
  [512, 512, 1024],
  [1024, 784, 256],
  [2048, 2048, 256],
]
const sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]

/** What the sides of a comparison share: the operands, and what they must compute. */
class Problem {
  readonly weight: Float32Array
  readonly x: Float32Array
  readonly verify: Match['verify']
  readonly limit: Limit
  readonly #transposed: Float32Array

  constructor(
    readonly shape: Shape,
    readonly sparsity: number,
    weight?: Float32Array,
  ) {
    const [rows, columns, samples] = shape
    this.weight = weight ?? pruned(rows, columns, sparsity)
    this.x = noise(samples * columns, 2)
    this.#transposed = transposed(this.weight, rows, columns)
    this.verify = productChecker(this.x, this.#transposed, samples, columns, rows)
    const kept = this.weight.reduce((sum, value) => sum + Number(value !== 0), 0)
    // A vector takes no more than one look at the matrix: a value and a byte of index an entry.
    this.limit = samples === 1 ? { read: 5 * kept + 4 * (rows + columns) } : { fma: 2 * kept * samples }
  }

  get case(): string {
    return `${this.shape.join('x')} s=${this.sparsity.toFixed(2)}`
  }

  /** Our product, as the ways of products.ts take it. */
  product(format: kernels.Format = 'automatic'): Product<Float32Array, Float32Array> {
    const [rows, columns, samples] = this.shape
    return { shape: this.shape, make: () => new kernels.SparseMatrix(this.weight, rows, columns, { format }), x: this.x, y: new Float32Array(samples * rows) }
  }

  oneDNN(): Contender {
    const [rows, columns, samples] = this.shape
    return cxx({
      rival: 'oneDNN',
      source: 'gemm/onednn.cc',
      flags: ['-ldnnl'],
      install: 'apt-get install libdnnl-dev',
      args: [samples, rows, columns],
      inputs: { a: this.x, b: this.#transposed },
    })
  }

  ourDense(): Contender {
    const [rows, columns, samples] = this.shape
    const packed = new Float32Array(native.gemmPackSize(rows, columns, 0))
    native.gemmPack(rows, columns, 1, columns, this.weight, packed)
    const y = new Float32Array(samples * rows)
    return inProcess(
      () => native.gemmPacked(1, this.x, packed, 0, null, null, Finish.none, y, samples, rows, columns, 0, 0, columns, rows, rows),
      () => y,
    )
  }

  libxsmm(): Contender {
    const [rows, columns, samples] = this.shape
    return cxx({
      rival: 'LIBXSMM',
      source: 'spmm/libxsmm.cc',
      flags: ['-lxsmm', '-lxsmmnoblas', '-ldl', '-lpthread'],
      install: 'apt-get install libxsmm-dev',
      args: [rows, samples, columns],
      inputs: { w: this.weight, x: transposed(this.x, samples, columns) },
    })
  }

  /** A row of the report. */
  match(rival: string, theirs: Match['theirs'], ours: Match['ours'] = () => inRows(this.product()), what = ''): Match {
    return { case: `${this.case}${what}`, rival, ours, theirs, verify: this.verify, limit: this.limit }
  }
}

const dense = 'oneDNN dense, weights prepacked'

/** A pruned weight, its zeros anywhere or in a structure, times a batch or a vector. */
export default function* spmm(): Iterable<Match> {
  for (const shape of shapes)
    for (const sparsity of sparsities) {
      const problem = new Problem(shape, sparsity)
      yield problem.match(dense, () => problem.oneDNN())
      yield problem.match(
        dense,
        () => problem.oneDNN(),
        () => inPanels(problem.product()),
        ' in panels',
      )
      if (sparsity >= 0.8) {
        yield problem.match(
          dense,
          () => problem.oneDNN(),
          () => inColumns(problem.product()),
          ' in columns',
        )
        yield problem.match('LIBXSMM spmdm', () => problem.libxsmm())
        yield problem.match(
          'LIBXSMM spmdm',
          () => problem.libxsmm(),
          () => inColumns(problem.product()),
          ' in columns',
        )
      }
      if (sparsity === 0.9)
        yield problem.match(
          'one product of oneDNN',
          () => problem.oneDNN(),
          () => making(problem.product()),
          ' made and used once',
        )
    }

  // Structures. Single entries of the same number are above.
  const formats: readonly (readonly [kernels.Format, number, Shape])[] = [
    ['2:4', 0.5, [512, 512, 1024]],
    ['fan-in', 0.9, [512, 512, 1024]],
    ['4x1', 0.95, [512, 512, 1024]],
    ['4x1', 0.95, [2048, 2048, 256]],
    ['8x1', 0.95, [512, 512, 1024]],
    ['1x4', 0.9, [512, 512, 1024]],
    ['channels', 0.75, [512, 512, 1024]],
  ]
  for (const [format, sparsity, shape] of formats) {
    const problem = new Problem(shape, sparsity, structured(format, shape[0], shape[1], sparsity))
    yield problem.match(dense, () => problem.oneDNN(), undefined, ` ${format}`)
    yield problem.match(
      dense,
      () => problem.oneDNN(),
      () => inPanels(problem.product()),
      ` ${format} in panels`,
    )
  }

  // From where on zeros pay.
  for (const sparsity of [0.1, 0.2, 0.3])
    for (const shape of [shapes[0], shapes[1]]) {
      const problem = new Problem(shape, sparsity)
      yield problem.match('our own dense, weights prepacked', () => problem.ourDense())
    }

  // A vector: bound by memory.
  for (const sparsity of [0.8, 0.9, 0.95]) {
    const problem = new Problem([4096, 4096, 1], sparsity)
    yield problem.match('our own dense, weights prepacked', () => problem.ourDense())
    yield problem.match(dense, () => problem.oneDNN())
  }
}
