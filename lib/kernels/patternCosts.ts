// What the products of a GPU are expected to take: a model, for ranking.
import type { Costs } from './sparseMatrix.js'

// Fitted to times of an H200 in exact float32, in nanoseconds, each figure weighed alike: 8192×8192 with 20%, 10%, 5% and
// 2% kept on 128 samples, 4096×4096 with 10% and 5% on 1,024, 1024×1024 with 5% on 64. The fit is within 4% of the sparse
// ones. Without the term of an entry alone it was off by up to 17%, without that of components up to 23%.
// These are figures of the kernels of commit 167ef16. Those since take 16% to 30% less where they were measured again,
// which is 8192×8192 with 10%, 5% and 2% kept: layers stay dense somewhat longer than they need. A fit to figures of both
// would rank shapes by which kernels they were measured with.
/** A call; a kept entry; a kept entry of a sample; a component (of x or of y) of a sample. */
const sparse = [
  [20_900, 0.00397, 0.000156, 0.01165],
  [25_700, 0.01127, 0.000165, 0.01006],
  [29_900, 0.01214, 0.000189, 0.01564],
]
/** A call; a multiply-add of the dense product of cuBLAS beside them. Within 2% but for the gradient of W: 16%. */
const dense = [
  [27_300, 0.0000392],
  [19_400, 0.0000386],
  [19_000, 0.0000459],
]
// Fewer samples have no figure: kernels of either kind are taken to work on as many.
const fewestSamples = 64
// Nanoseconds a byte: what memory gives there. The moves of kept values have not been timed; they are counted in bytes.
const byteTime = 1 / 4200
// An entry of a dense matrix far from the next takes a whole sector, a value beside it its 4 bytes and the 4 of its column.
const [sectorBytes, valueBytes] = [32, 8]

/**
 * [forward, gradient of x, gradient of W], with the moves of values between a dense matrix and the kept ones: sparse
 * products of a whole weight gather them and scatter their gradient, dense ones of a weight that is held as its kept values
 * scatter these, twice, and gather their gradient.
 */
export function patternCosts(
  { rows, columns, count }: { rows: number; columns: number; count: number },
  samples: number,
  held: 'whole' | 'kept' = 'whole',
): Costs {
  const size = rows * columns
  const lanes = Math.max(samples, fewestSamples)
  const gathered = byteTime * (count * valueBytes + Math.min(count * sectorBytes, size * 4))
  const scattered = gathered + byteTime * size * 4
  const [bySparse, byDense] = held === 'whole' ? [[gathered, 0, scattered], still] : [still, [scattered, scattered, gathered]]
  return {
    sparse: Float64Array.from(
      sparse,
      ([call, entry, product, component], i) => call + count * (entry + product * lanes) + component * (rows + columns) * lanes + bySparse[i],
    ),
    // A few samples wait for the weight.
    dense: Float64Array.from(dense, ([call, product], i) => call + Math.max(product * size * lanes, byteTime * size * 4) + byDense[i]),
  }
}
const still = [0, 0, 0]
