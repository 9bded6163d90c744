import { Finish, native, SparseFormat, SparseLayout } from '../../lib/native/index.js'
import { cxx } from '../support/process.js'
import { pruned, transposed } from '../support/sparse.js'
import { type Contender, inProcess, type Match } from '../support/task.js'
import { noise, productChecker } from '../support/verify.js'

// rows × columns of the weight, samples of the batch.
const shapes: readonly (readonly [rows: number, columns: number, samples: number])[] = [
  [256, 256, 256],
  [512, 512, 1024],
  [1024, 784, 256],
  [2048, 2048, 256],
]
const sparsities = [0.5, 0.7, 0.8, 0.9, 0.95]

/**
 * A pruned weight, its zeros anywhere, times a batch: X·Wᵀ as a linear layer has it. Packing X is in our
 * time; making the matrix and its code, once a mask, is a case of its own.
 */
export default function* spmm(): Iterable<Match> {
  for (const [rows, columns, samples] of shapes)
    for (const sparsity of sparsities) {
      const weight = pruned(rows, columns, sparsity)
      const x = noise(samples * columns, 2)
      const transposedWeight = transposed(weight, rows, columns)
      const verify = productChecker(x, transposedWeight, samples, columns, rows)
      const kept = weight.reduce((sum, value) => sum + Number(value !== 0), 0)
      const row = { case: `${rows}x${columns}x${samples} s=${sparsity.toFixed(2)}`, verify, limit: { fma: 2 * kept * samples } }
      const program = { args: [samples, rows, columns], inputs: { a: x, b: transposedWeight } }
      const ours = () => product(weight, rows, columns, x, samples)
      yield {
        ...row,
        rival: 'oneDNN dense, weights prepacked',
        ours,
        theirs: () => cxx({ ...program, rival: 'oneDNN', source: 'gemm/onednn.cc', flags: ['-ldnnl'], install: 'apt-get install libdnnl-dev' }),
      }
      if (sparsity >= 0.8)
        yield {
          ...row,
          rival: 'LIBXSMM spmdm',
          ours,
          theirs: () =>
            cxx({
              rival: 'LIBXSMM',
              source: 'spmm/libxsmm.cc',
              flags: ['-lxsmm', '-lxsmmnoblas', '-ldl', '-lpthread'],
              install: 'apt-get install libxsmm-dev',
              args: [rows, samples, columns],
              inputs: { w: weight, x: transposed(x, samples, columns) },
            }),
        }
    }
}

function product(weight: Float32Array, rows: number, columns: number, x: Float32Array, samples: number): Contender {
  const matrix = native.sparseCreate(rows, columns, weight, null, SparseFormat.automatic, [])
  const y = new Float32Array(samples * rows)
  return {
    ...inProcess(
      () => native.spmm(matrix, 0, samples, SparseLayout.rows, x, null, Finish.none, y),
      () => y,
    ),
    close: () => native.sparseFree(matrix),
  }
}
