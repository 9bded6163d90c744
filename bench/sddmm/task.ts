import { native, SparseFormat, SparseLayout } from '../../lib/native/index.js'
import { cxx } from '../support/process.js'
import { pruned, transposed } from '../support/sparse.js'
import { type Contender, inProcess, type Match } from '../support/task.js'
import { noise, productChecker } from '../support/verify.js'

const shapes: readonly (readonly [rows: number, columns: number, samples: number])[] = [
  [512, 512, 256],
  [1024, 784, 64],
  [1024, 784, 256],
]
const sparsities = [0.7, 0.8, 0.9, 0.95]

/** The weight gradient dYᵀ·X where a mask keeps it, against the whole of it. */
export default function* sddmm(): Iterable<Match> {
  for (const [rows, columns, samples] of shapes)
    for (const sparsity of sparsities) {
      const weight = pruned(rows, columns, sparsity)
      const dy = noise(samples * rows, 3)
      const x = noise(samples * columns, 2)
      const a = transposed(dy, samples, rows)
      const whole = productChecker(a, x, rows, samples, columns)
      const matrix = native.sparseCreate(rows, columns, weight, null, SparseFormat.automatic, [])
      const positions = new Int32Array(native.sparseSize(matrix))
      native.sparsePositions(matrix, positions)
      const match: Match = {
        case: `${rows}x${columns}x${samples} s=${sparsity.toFixed(2)}`,
        rival: 'oneDNN dense',
        ours: () => sampled(matrix, positions.length, dy, x, samples),
        theirs: () =>
          cxx({
            rival: 'oneDNN',
            source: 'gemm/onednn.cc',
            flags: ['-ldnnl'],
            install: 'apt-get install libdnnl-dev',
            args: [rows, columns, samples],
            inputs: { a, b: x },
          }),
        // The rival's values are all of them, ours those the mask keeps; both are compared with float64.
        verify: (output) => {
          if (output.length !== positions.length) return whole(output)
          for (let i = 0; i < positions.length; i += 53) {
            const [r, c] = [Math.floor(positions[i] / columns), positions[i] % columns]
            let sum = 0
            let size = 0
            for (let s = 0; s < samples; s++) {
              const term = dy[s * rows + r] * x[s * columns + c]
              sum += term
              size += Math.abs(term)
            }
            if (!(Math.abs(output[i] - sum) <= samples * 2 ** -24 * size)) throw new Error(`entry ${i} is ${output[i]}, expected ${sum}`)
          }
        },
        limit: { fma: 2 * positions.length * samples },
      }
      yield match
      if (sparsity === 0.9)
        yield {
          ...match,
          case: `${match.case} made and used once`,
          rival: 'one product of oneDNN',
          ours: () => making(weight, [rows, columns, samples], positions.length, dy, x),
        }
    }
}

function sampled(matrix: number, count: number, dy: Float32Array, x: Float32Array, samples: number): Contender {
  const values = new Float32Array(count)
  return inProcess(
    () => native.sddmm(matrix, samples, SparseLayout.rows, dy, x, values),
    () => values,
  )
}

/** Making the matrix and what its sampled product works on, and the first product. */
function making(weight: Float32Array, [rows, columns, samples]: readonly number[], count: number, dy: Float32Array, x: Float32Array): Contender {
  const values = new Float32Array(count)
  return inProcess(
    () => {
      const matrix = native.sparseCreate(rows, columns, weight, null, SparseFormat.automatic, [])
      native.sddmm(matrix, samples, SparseLayout.rows, dy, x, values)
      native.sparseFree(matrix)
    },
    () => values,
  )
}
