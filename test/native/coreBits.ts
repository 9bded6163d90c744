// Prints a line a product: the bits of its results. ESPALIER_CORE says as which core.
import { createHash } from 'node:crypto'
import { Finish, native, SparseFormat, SparseLayout } from '../../lib/native/index.js'

const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i * step))

// Densities on either side of every shape of generated code; the last two matrices are more code than caches hold.
const matrices: readonly (readonly [rows: number, columns: number, density: number, samples: number])[] = [
  [29, 40, 0.02, 33],
  [31, 700, 0.05, 16],
  [32, 513, 0.1, 40],
  [61, 64, 0.2, 300],
  [90, 300, 0.3, 17],
  [100, 1100, 0.7, 31],
  [500, 1500, 0.25, 150],
  [400, 600, 0.6, 290],
]

for (const [rows, columns, density, samples] of matrices) {
  const weight = wave(rows * columns, 0.37)
  // Positions by the golden ratio: even, and without a pattern.
  const mask = Uint8Array.from(weight, (_, i) => Number((i * 0.6180339887498949) % 1 < density))
  const tall = Uint8Array.from(weight, (_, i) => mask[(Math.floor(i / columns / 8) * columns + (i % columns)) % mask.length])
  for (const [kind, parameters, of] of [
    [SparseFormat.generated, [], mask],
    [SparseFormat.rows, [], mask],
    [SparseFormat.blocks, [8, 1], tall],
  ] as const) {
    if (kind === SparseFormat.generated && (native.isa() === 'baseline' || process.env.ESPALIER_JIT === '0')) continue
    const number = native.sparseCreate(rows, columns, weight, of, kind, parameters)
    for (const [layout, count] of [
      [SparseLayout.rows, samples],
      [SparseLayout.panels, Math.ceil(samples / 16) * 16],
    ] as const) {
      const y = new Float32Array(rows * count)
      native.spmm(number, 0, count, layout, wave(columns * count, 0.11), wave(rows, 1), Finish.relu, y)
      const name = [kind, rows, columns, density, count, layout].join(' ')
      console.log(name, createHash('sha256').update(y).digest('hex'))
    }
    native.sparseFree(number)
  }
}
