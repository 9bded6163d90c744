// The model of costs on a GPU beside the figures it was fitted to.
import test from 'ava'
import { patternCosts } from '../../lib/kernels/patternCosts.js'

type Figures = [size: number, samples: number, kept: number, ms: number[]][]
// An H200, exact float32, ms: forward, gradient of x, gradient of W, by the kernels of commit 167ef16.
const sparse: Figures = [
  [8192, 128, 0.2, [0.36, 0.476, 0.541]],
  [8192, 128, 0.1, [0.21, 0.268, 0.311]],
  [8192, 128, 0.05, [0.122, 0.152, 0.183]],
  [8192, 128, 0.02, [0.081, 0.094, 0.115]],
  [4096, 1024, 0.1, [0.407, 0.425, 0.521]],
  [4096, 1024, 0.05, [0.245, 0.253, 0.323]],
  [1024, 64, 0.05, [0.023, 0.028, 0.033]],
]
// By those since, where they were measured again (bench/RESULTS-cuda.md).
const since: Figures = [
  [8192, 128, 0.1, [0.172, 0.222, 0.243]],
  [8192, 128, 0.05, [0.103, 0.128, 0.14]],
  [8192, 128, 0.02, [0.0632, 0.0749, 0.0806]],
]
// Of cuBLAS, beside the first.
const dense: [size: number, samples: number, ms: number[]][] = [
  [8192, 128, [0.356, 0.347, 0.495]],
  [4096, 1024, [0.718, 0.691, 0.722]],
  [1024, 64, [0.03, 0.022, 0.022]],
]
const costs = (size: number, samples: number, kept: number) => patternCosts({ rows: size, columns: size, count: Math.round(kept * size * size) }, samples)

/** What sparse products are expected to take, relative to these figures. */
function* ratios(figures: Figures): Generator<[ratio: number, what: string]> {
  for (const [size, samples, kept, ms] of figures) {
    const count = kept * size * size
    // The moves of the values, which were not measured, are the bytes they take.
    const moved = (count * 8 + Math.min(count * 32, size * size * 4)) / 4200
    const moves = [moved, 0, moved + (size * size * 4) / 4200]
    for (const [i, found] of costs(size, samples, kept).sparse.entries()) {
      const ratio = (found - moves[i]) / (ms[i] * 1e6)
      yield [ratio, `${size}, ${samples} samples, ${kept} kept, product ${i}: ${ratio} of the figure`]
    }
  }
}

test('products take what was measured', (t) => {
  for (const [ratio, what] of ratios(sparse)) t.true(ratio > 0.95 && ratio < 1.05, what)
  for (const [size, samples, ms] of dense)
    for (const [i, found] of costs(size, samples, 0.1).dense.entries()) {
      const ratio = found / (ms[i] * 1e6)
      t.true(ratio > 0.83 && ratio < 1.17, `${size}, ${samples} samples, dense product ${i}: ${ratio} of the figure`)
    }
})

test('the kernels since take less than is expected of them, by up to a third', (t) => {
  for (const [ratio, what] of ratios(since)) t.true(ratio > 1 && ratio < 1.5, what)
})

test('costs grow with what is kept and with samples, and fewer samples than have figures cost as many', (t) => {
  for (const i of [0, 1, 2]) {
    t.true(costs(4096, 256, 0.1).sparse[i] > costs(4096, 256, 0.05).sparse[i])
    for (const kind of ['sparse', 'dense'] as const) {
      t.true(costs(4096, 512, 0.1)[kind][i] > costs(4096, 256, 0.1)[kind][i])
      t.is(costs(4096, 1, 0.1)[kind][i], costs(4096, 64, 0.1)[kind][i])
    }
  }
  t.deepEqual(
    [...costs(64, 0, 0).sparse].map((ns) => ns > 0),
    [true, true, true],
  )
})
